"""The scripts of the reproductions themselves, on tiny runs."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from her_exp.config.compose import composer

TINY = [
    "trainer.total_steps=240", "trainer.learning_starts=80", "trainer.batch_size=16",
    "trainer.eval_every=80", "trainer.eval_episodes=4", "agent.hidden_sizes=[8]",
]  # fmt: skip


pytest.importorskip("matplotlib")


@pytest.fixture
def script(load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
    """Call `main` of a script in this process; returns what it says is missing."""

    def call(name: str, *words: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path / "runs"), *words])
        missing: list[str] = load(name).main()
        return missing

    return call


def tiny(folder: Path, *words: str) -> list[str]:
    docs = str(folder / "docs")
    return [*words, "--seeds", "1", "--episodes", "6", "--docs", docs, "--set", *TINY]


def page_of(folder: Path, name: str) -> str:
    """What a script wrote into its place of the page, which is whole."""
    text = (folder / "docs" / "reproductions.md").read_text()
    assert text.startswith("# ")
    for block in ("her_fig1", "her_fig6", "her_faults"):
        assert text.count(f"<!-- {block}: written by its script -->\n") == 1
        assert text.count(f"<!-- /{block} -->") == 1
    png = (folder / "docs" / f"{name}.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 5000
    assert f"[{name}.csv]({name}.csv)" in text
    return text.partition(f"<!-- {name}: ")[2].partition(f"<!-- /{name} -->")[0]


def table_of(folder: Path, name: str) -> list[list[str]]:
    """The rows of the table that a script wrote, without its head."""
    with (folder / "docs" / f"{name}.csv").open() as file:
        return list(csv.reader(file))[1:]


def when(folder: Path) -> dict[Path, int]:
    """When the files of all runs were last written."""
    return {p: p.stat().st_mtime_ns for p in (folder / "runs").rglob("*") if p.is_file()}


def test_the_real_command_runs_its_cells_once(start: Any, tmp_path: Path) -> None:
    out = str(tmp_path / "runs")
    words = ["cost_of_faults", "--out", out, *tiny(tmp_path, "--only", "nav2d")]
    done = start(*words)
    assert done.returncode == 0, done.stderr
    page = page_of(tmp_path, "her_faults")
    cells = [row[:2] for row in table_of(tmp_path, "her_faults")]
    faults = ["correct", "stale terminated", "goals from the state before", "time limit as terminal",
              "stored goals overwritten"]  # fmt: skip
    assert cells == [["nav2d", fault] for fault in faults]
    assert "5 runs, seeds 0 to 0" in page
    assert "Missing" not in page
    before = when(tmp_path)
    assert sum(path.name == "held_out.json" for path in before) == 5
    assert start(*words).returncode == 0
    assert page_of(tmp_path, "her_faults") == page
    assert when(tmp_path) == before  # nothing ran, nothing was judged anew


def test_what_failed_is_told_as_missing(script: Callable[..., list[str]], tmp_path: Path) -> None:
    words = tiny(tmp_path, "--only", "50")
    assert script("reproduce_fig1", *words) == []
    page = page_of(tmp_path, "her_fig1")
    cells = [row[:3] for row in table_of(tmp_path, "her_fig1")]
    assert cells == [["50", "DQN + HER", "240"], ["50", "DQN", "240"]]
    [lost] = [p for p in when(tmp_path) if p.name == "result.json" and "k=0" in str(p)]
    lost.write_text('{"status": "stopped"}')
    for checkpoint in lost.parent.glob("checkpoints/*"):  # it cannot go on
        checkpoint.write_bytes(b"broken")
    missing = script("reproduce_fig1", *words)
    assert missing == ["her_fig1_50 (50, 0): 1 runs"]
    page = page_of(tmp_path, "her_fig1")
    assert "**Missing**: her_fig1_50 (50, 0): 1 runs" in page
    assert [row[:2] for row in table_of(tmp_path, "her_fig1")] == [["50", "DQN + HER"]]


@pytest.fixture
def grids(load: Any) -> ModuleType:
    module: ModuleType = load("grids")
    return module


def test_what_each_script_asks_for(grids: ModuleType) -> None:
    import cost_of_faults
    import reproduce_fig1
    import reproduce_fig6 as figure_6

    fig1 = reproduce_fig1.sweeps(reproduce_fig1.BITS)
    bits = [cell for sweep in fig1 for cell in sweep.cells()]
    assert sorted(bits) == sorted((n, k) for n in reproduce_fig1.BITS for k in (0, 4))
    assert sum(len(s.cells()) for s in figure_6.sweeps(list(figure_6.TASKS))) == 2 * (4 * 5 + 1)
    faults = cost_of_faults.sweeps(list(cost_of_faults.TASKS))
    assert [len(sweep.cells()) for sweep in faults] == [5, 5, 4]
    with composer() as hydra:
        for sweep in (*fig1, *figure_6.sweeps(list(figure_6.TASKS)), *faults):
            *_, last = sweep.cells().values()
            hydra.job([*last, "seed=0"])  # raises where something is wrong


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([5.0] * 5, (5.0, 5.0, 5.0)),
        ([1.0, 2.0, 3.0, math.inf, math.inf], (3.0, 1.0, math.inf)),
        ([1.0, 2.0, math.inf, math.inf, math.inf], (math.inf, 1.0, math.inf)),
        ([math.inf] * 5, (math.inf, math.inf, math.inf)),
    ],
)
def test_an_interval_of_medians_knows_what_was_never_reached(
    grids: ModuleType, values: list[float], told: Any
) -> None:
    assert grids.bootstrap(values) == told


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--seeds", "0"], "--seeds 0: give 1 or more"),
        (["--set", "buffer.k=0"], "--set is for trials"),
        (["--only", "6"], "invalid choice: '6'"),
    ],
)
def test_a_wrong_word_is_told_before_anything_runs(
    words: list[str], line: str, script: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as end:
        script("reproduce_fig1", *words)
    assert end.value.code == 2
    assert line in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_or_missing_is_one_line_each(
    grids: ModuleType, script: Callable[..., list[str]], capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    words = ["--docs", str(tmp_path / "docs"), "--only", "5", "--set", "buffer.kk=1"]
    for main, status, line in [
        (lambda: script("reproduce_fig1", *words), 2,
         "unknown key buffer.kk: did you mean buffer.k?"),
        (lambda: ["this", "that"], 1, "missing: this\nher_exp: error: missing: that"),
        (list, 0, None),
    ]:  # fmt: skip
        with pytest.raises(SystemExit) as end:
            grids.run(main)
        assert end.value.code == status
        assert capsys.readouterr().err == (f"her_exp: error: {line}\n" if line else "")
