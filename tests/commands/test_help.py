"""Questions to the real commands are answered quickly: nothing heavy is imported, nothing is left."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import her_exp
from tests.commands.imports_kit import TELL_IMPORTS, heavy_imports
from tests.conftest import RunCli

ANSWERS = {
    "check --help": ["her-check"],
    "report --help": ["runs="],
    "train --help": ["experiment=bit_flip", "env: ant_maze, bit_flip, fetch", "  k: 4"],
    "train --cfg job --resolve buffer.k=8": ["  k: 8", "name: point_reach"],
    "train --cfg all --resolve": ["dir: outputs/point_reach/ddpg/", "subdir: default_"],
}


@pytest.mark.parametrize("module", ["train", "evaluate", "check", "report"])
def test_a_python_without_our_packages_is_told_so_in_a_line(module: str, tmp_path: Path) -> None:
    house = str(Path(her_exp.__file__).parents[1])
    python = [sys.executable, "-S"]  # sees no installed package
    words = {"capture_output": True, "text": True, "env": {"PYTHONPATH": house}, "cwd": tmp_path}
    said = subprocess.run([*python, "-m", f"her_exp.{module}"], **words)
    assert (said.returncode, said.stdout) == (2, "")
    assert re.fullmatch(r"her_exp: error: .* lacks torch, .*hydra.*make setup\)\n", said.stderr)
    # A program that imports us is not ended, and a package of a user's is its own to miss.
    assert subprocess.run([*python, "-c", "import her_exp"], **words).returncode == 0
    (tmp_path / "her_lab.py").write_text("import her_exp\nimport no_such_package")
    said = subprocess.run([*python, "-m", "her_lab"], **words)
    assert "No module named 'no_such_package'" in said.stderr


@pytest.mark.parametrize("words", ANSWERS)
def test_answers_import_nothing_heavy(words: str, run_cli: RunCli, tmp_path: Path) -> None:
    module, *argv = words.split()
    answer = run_cli(*argv, cwd=tmp_path, module=module, python=TELL_IMPORTS)
    assert answer.returncode == 0, answer.stderr
    assert heavy_imports(answer.stderr) == (set(), "")
    assert [word for word in ANSWERS[words] if word not in answer.stdout] == []
    assert list(tmp_path.iterdir()) == []
