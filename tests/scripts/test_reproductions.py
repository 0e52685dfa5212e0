"""The scripts of the reproductions themselves, on tiny runs."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from her_exp.config.compose import composer

pytest.importorskip("matplotlib")


TINY = [
    "--seeds", "1", "--episodes", "6", "--docs", "docs", "--set", "trainer.total_steps=240",
    "trainer.learning_starts=80", "trainer.batch_size=16", "trainer.eval_every=80",
    "trainer.eval_episodes=4", "agent.hidden_sizes=[8]",
]  # fmt: skip


def tiny(name: str, only: str) -> list[str]:
    """A script's own command, with small runs."""
    return [name, "--out", "runs", "--only", only, *TINY]


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


def test_a_script_runs_its_cells_once(start: Any, tmp_path: Path) -> None:
    words = tiny("cost_of_faults", "nav2d")
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


def test_what_failed_is_told_as_missing(start: Any, tmp_path: Path) -> None:
    words = tiny("reproduce_fig1", "50")
    done = start(*words)
    assert done.returncode == 0, done.stderr
    cells = [row[:3] for row in table_of(tmp_path, "her_fig1")]
    assert cells == [["50", "DQN + HER", "240"], ["50", "DQN", "240"]]
    [lost] = [p for p in when(tmp_path) if p.name == "result.json" and "k=0" in str(p)]
    lost.write_text('{"status": "stopped"}')
    for checkpoint in lost.parent.glob("checkpoints/*"):  # it cannot go on
        checkpoint.write_bytes(b"broken")
    done = start(*words)
    assert done.returncode == 1
    missing = "her_fig1_50 (50, 0): 1 runs"
    assert done.stderr.splitlines()[-1] == f"her_exp: error: missing: {missing}"
    assert f"**Missing**: {missing}" in page_of(tmp_path, "her_fig1")
    assert [row[:2] for row in table_of(tmp_path, "her_fig1")] == [["50", "DQN + HER"]]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--seeds 0", "--seeds 0: give 1 or more"),
        ("--set buffer.k=0", "--set is for trials"),
        ("--docs docs --set buffer.kk=1", "her_exp: error: unknown key buffer.kk: did you mean buffer.k?"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_told_before_anything_runs(
    words: str, line: str, start: Any, tmp_path: Path
) -> None:
    done = start("reproduce_fig1", *words.split())
    assert done.returncode == 2
    assert line in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_what_each_script_asks_for(load: Any) -> None:
    fig1, fig6, faults = map(load, ("reproduce_fig1", "reproduce_fig6", "cost_of_faults"))
    taught = load("demonstrations")
    sweeps = [
        fig1.sweeps(fig1.BITS),
        fig6.sweeps(list(fig6.TASKS)),
        faults.sweeps(list(faults.TASKS)),
        taught.sweeps(list(taught.ARMS)),
    ]
    bits = [cell for sweep in sweeps[0] for cell in sweep.cells()]
    assert sorted(bits) == sorted((n, k) for n in fig1.BITS for k in (0, 4))
    assert sum(len(sweep.cells()) for sweep in sweeps[1]) == 2 * (4 * 5 + 1)
    assert [len(sweep.cells()) for sweep in sweeps[2]] == [5, 5, 4]
    assert [len(sweep.cells()) for sweep in sweeps[3]] == [1, 1, 1, 1, 1]
    with composer() as hydra:
        for sweep in (sweep for each in sweeps for sweep in each):
            *_, last = sweep.cells().values()
            hydra.job([*last, "seed=0"])  # raises where something is wrong


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([5.0] * 5, (5.0, 5.0, 5.0)),
        ([1.0, 2.0, 3.0, math.inf, math.inf], (3.0, 1.0, math.inf)),
        ([1.0, 2.0, math.inf, math.inf, math.inf], (math.inf, 1.0, math.inf)),
    ],
)
def test_an_interval_of_medians_knows_what_was_never_reached(
    values: list[float], told: Any, load: Any
) -> None:
    assert load("finished").bootstrap(values) == told
