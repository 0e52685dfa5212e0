"""What a command line is told, and whether the words that it is told to write are right."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.forked_commands import Forks

Said = Callable[..., list[str]]
Right = Callable[[str], bool]

#: In a command's own process: see that its words mean something, and end there.
CHECKED = """
import os, sys
from her_exp.sweeps.command_line import preflight
from her_exp.run import request
request(sys.argv[1:]) or preflight(sys.argv[1:])
os._exit(0)
"""


def shell_words(text: str, *ahead: str) -> list[str]:
    """What a shell makes of a text that is pasted into it."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, text=True, check=True
    )
    return [*ahead, *done.stdout.split("\0")[:-1]]


@pytest.fixture
def said(forks: Forks, cwd: Path) -> Said:
    """Run a command that is refused; returns its lines without what every line begins with."""

    def said(*argv: str, prelude: str = "") -> list[str]:
        (cwd.parent / "err").unlink(missing_ok=True)
        before = sorted(cwd.rglob("*"))
        status = forks.run(list(argv), cwd, prelude)
        lines = (cwd.parent / "err").read_text().splitlines()
        assert status == 2, lines
        assert sorted(cwd.rglob("*")) == before
        assert all(line.startswith("her_exp: error: ") for line in lines), lines
        return [line.removeprefix("her_exp: error: ") for line in lines]

    return said


@pytest.fixture
def right(forks: Forks, cwd: Path) -> Right:
    """Say whether the words of a text mean something, as a shell hands them on."""

    def right(text: str, prelude: str = "") -> bool:
        return forks.run(shell_words(text), cwd, prelude + CHECKED) == 0

    return right


def remedy(line: str) -> str:
    """What a line says is to be written."""
    found = re.search(
        r"(?:write|quote the whole|as a whole|brackets|plus|with):? ('.*'|\S+)$", line
    )
    assert found, line
    return found.group(1)
