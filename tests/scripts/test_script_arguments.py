"""The scripts that take `key=value` answer `--help` and refuse what they do not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = ("bench_checkpoint", "soak", "check_experiment", "compare_backends")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_usage(script: str, start: Any) -> None:
    done = start(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python scripts/{script}.py" in done.stdout


@pytest.mark.parametrize(
    ("script", "words", "line"),
    [
        ("bench_checkpoint", "thread=2", "unknown key thread; the keys are threads, folder"),
        ("bench_checkpoint", "threads=0", "threads=0: give 1 or more"),
        ("bench_checkpoint", "folder=nowhere", "folder=nowhere: no such folder"),
        ("soak", "minutes=0", "minutes=0: give 1 or more"),
        ("check_experiment", "no_such", "experiment=no_such: "),
        ("check_experiment", "nav2d seeds=a", "seeds=a: give whole numbers"),
        ("check_experiment", "nav2d episodes=0", "episodes=0: give 1 or more"),
        ("check_experiment", "nav2d config_dir=nowhere", "--config-dir=nowhere: no such folder"),
        ("compare_backends", "", "run is not set"),
        ("compare_backends", "run=x backends=sync", "backends=sync: give two, e.g. "),
        ("compare_backends", "run=x episodes=0", "episodes=0: give 1 or more"),
    ],
)
def test_what_is_wrong_is_one_line(
    script: str, words: str, line: str, start: Any, tmp_path: Path
) -> None:
    done = start(script, *words.split())
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"her_exp: error: {line}")
    assert list(tmp_path.iterdir()) == []


ENDLESS = """
from her_exp.config.arguments import run
run(lambda words: [print("a line") for _ in range(100_000)] and 0, "")
"""


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as lines:  # fmt: skip
        assert lines.stdout is not None
        assert lines.stderr is not None
        assert lines.stdout.readline() == "a line\n"
        lines.stdout.close()
        assert (lines.stderr.read(), lines.wait(timeout=60)) == ("", 128 + 13)
