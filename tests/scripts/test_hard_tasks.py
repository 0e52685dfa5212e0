"""The page of the hard tasks says what is kept of their runs."""

from __future__ import annotations

import csv
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def script(load: Any) -> ModuleType:
    module: ModuleType = load("hard_tasks")
    return module


def test_the_page_says_what_is_kept(script: ModuleType) -> None:
    docs, rows = script.DOCS, script.ROWS
    figures = {name: row for name in rows if (row := script.told(name, docs / "results"))}
    with (docs / "hard_tasks.csv").open() as file:
        told = list(csv.reader(file))
    assert told == [[str(cell) for cell in row] for row in script.table(figures)]
    page = (docs / "hard_tasks.md").read_text()
    assert all(f"| {' | '.join(row)} |" in page for row in told)
    for name, row in figures.items():
        assert len(script.missing(name, docs / "results")) == len(rows[name].seeds) - len(row)


def test_of_metrics_the_lines_of_single_episodes_are_left_out(
    script: ModuleType, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "run.json", "result.json"):
        (run / name).write_text('{"resumes": [{"command": "python x run_dir=/home/me"}]}')
    lines = ["env_steps,tag,value\n", "1,rollout/return,-1.0\n", "2,eval/success_final,0.5\n"]
    (run / "metrics.csv").write_text("".join(lines))
    script.keep(run, tmp_path / "kept")
    assert (tmp_path / "kept" / "metrics.csv").read_text() == lines[0] + lines[2]
    assert "/home" not in (tmp_path / "kept" / "run.json").read_text()
