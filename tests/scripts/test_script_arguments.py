"""The scripts that take `key=value` refuse what they do not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from her_exp.types import UserError


@pytest.mark.parametrize(
    ("script", "words", "line"),
    [
        ("bench_checkpoint", "thread=2", "unknown key thread; the keys are threads, folder"),
        ("check_experiment", "no_such", "experiment=no_such: "),
        ("check_experiment", "nav2d seeds=a", "seeds=a: give whole numbers"),
        ("compare_backends", "run=x backends=sync", "backends=sync: give two, e.g. "),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    script: str, words: str, line: str, load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        load(script).command(words.split())
    assert str(refused.value).startswith(line)
    assert list(tmp_path.iterdir()) == []


ENDLESS = """
from her_exp.config.arguments import run
run(lambda words: [print("a line") for _ in range(100_000)] and 0, "")
"""


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    piped = 'python -c "$1" | head -1; echo ${PIPESTATUS[0]}'.replace("python", sys.executable)
    done = subprocess.run(["bash", "-c", piped, "", ENDLESS], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"a line\n{128 + 13}\n", "")
