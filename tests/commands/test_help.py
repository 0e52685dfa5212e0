"""`--help` of the real commands is quick: it imports no torch, and does little itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands.imports_kit import TELL_IMPORTS, heavy_imports
from tests.conftest import RunCli


@pytest.mark.parametrize(("module", "word"), [("check", "her-check"), ("report", "runs=")])
def test_help_imports_nothing_heavy(
    module: str, word: str, run_cli: RunCli, tmp_path: Path
) -> None:
    done = run_cli("--help", cwd=tmp_path, module=module, python=TELL_IMPORTS)
    assert done.returncode == 0, done.stderr
    assert heavy_imports(done.stderr) == (set(), "")
    assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


def cpu_seconds(words: Sequence[str], folder: Path) -> float:
    """CPU time, which depends little on what else the machine does."""
    with (folder / "out").open("w") as out:
        process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_takes_a_few_times_what_importing_hydra_takes(tmp_path: Path) -> None:
    # Some five times; with torch it would be a dozen. In turn: the machine may become slower.
    bare, help = ["-c", "import hydra"], ["-m", "her_exp.train", "--help"]
    pairs = [[cpu_seconds(words, tmp_path) for words in (bare, help)] for _ in range(3)]
    least, ours = (min(seconds) for seconds in zip(*pairs, strict=True))
    assert ours < 10 * least, pairs
