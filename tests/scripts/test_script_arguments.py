"""The scripts that take `key=value` answer `--help` and refuse what they do not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def call(script: str, word: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(SCRIPTS / script), word]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("script", ["bench_checkpoint.py", "soak.py"])
def test_help_is_the_usage(script: str, tmp_path: Path) -> None:
    done = call(script, "--help", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python scripts/{script}" in done.stdout


@pytest.mark.parametrize(
    ("script", "word", "line"),
    [
        ("bench_checkpoint.py", "thread=2", "unknown key thread; the keys are threads, folder"),
        ("bench_checkpoint.py", "threads=0", "threads=0: give 1 or more"),
        ("bench_checkpoint.py", "folder=nowhere", "folder=nowhere: no such folder"),
        ("soak.py", "minute=5", "unknown key minute; the keys are minutes, folder"),
        ("soak.py", "minutes=0", "minutes=0: give 1 or more"),
    ],
)
def test_what_is_wrong_is_one_line(script: str, word: str, line: str, tmp_path: Path) -> None:
    done = call(script, word, tmp_path)
    assert (done.returncode, done.stderr) == (2, f"her_exp: error: {line}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    code = """
from her_exp.config.arguments import run

def command(words):
    for _ in range(100_000):
        print("a line")
    return 0

run(command, "")
"""
    lines = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert lines.stdout is not None
    assert lines.stderr is not None
    assert lines.stdout.readline() == "a line\n"
    lines.stdout.close()
    said = lines.stderr.read()
    lines.stderr.close()
    assert (lines.wait(timeout=60), said) == (128 + 13, "")
