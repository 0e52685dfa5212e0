"""Whether the words that a command line is told to write are right."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from tests.commands.shell import Shell

Right = Callable[[str], bool]

#: In a command's own process: see that its words mean something, and end there.
CHECKED = """
import os, sys
from her_exp.sweeps.command_line import preflight
from her_exp.run import request
request(sys.argv[1:]) or preflight(sys.argv[1:])
os._exit(0)
"""


def shell_words(text: str) -> list[str]:
    """What a shell makes of a text that is pasted into it."""
    words = ["bash", "-c", f"printf '%s\\0' {text}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


@pytest.fixture
def right(sh: Shell) -> Right:
    """Say whether the words of a text mean something, as a shell hands them on."""
    return lambda text, prelude="": sh(*shell_words(text), prelude=prelude + CHECKED) == 0


def remedy(line: str) -> str:
    """What a line says is to be written."""
    found = re.search(
        r"(?:write|quote the whole|as a whole|brackets|plus|with):? ('.*'|\S+)$", line
    )
    assert found, line
    return found.group(1)
