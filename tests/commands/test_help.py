"""Questions to the real commands are answered quickly: nothing heavy is imported, nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.imports_kit import TELL_IMPORTS, heavy_imports
from tests.conftest import RunCli

ANSWERS = {
    "check --help": ["her-check"],
    "report --help": ["runs="],
    "train --help": ["experiment=bit_flip", "env: ant_maze, bit_flip, fetch", "  k: 4"],
    "train -h": ["her_exp: a laboratory"],
    "train --cfg job --resolve buffer.k=8": ["  k: 8", "name: point_reach"],
    "train --cfg all --resolve": ["dir: outputs/point_reach/ddpg/", "subdir: default_"],
    "train --cfg job env=gym": ["id: ???"],
}


@pytest.mark.parametrize("words", ANSWERS)
def test_answers_import_nothing_heavy(words: str, run_cli: RunCli, tmp_path: Path) -> None:
    module, *argv = words.split()
    answer = run_cli(*argv, cwd=tmp_path, module=module, python=TELL_IMPORTS)
    assert answer.returncode == 0, answer.stderr
    assert heavy_imports(answer.stderr) == (set(), "")
    assert [word for word in ANSWERS[words] if word not in answer.stdout] == []
    assert list(tmp_path.iterdir()) == []
