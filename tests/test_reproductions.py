"""The reproductions: doubles that have exactly their fault, and the scripts themselves on tiny runs."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.build import make
from her_exp.config import compose, composer
from her_exp.rollout import Rollout
from her_exp.types import Batch

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
TASKS = {
    "nav2d": ["experiment=nav2d", "env.max_steps=7"],
    # So few bits that own goals are met, too.
    "bit_flip": ["experiment=bit_flip", "env.n_bits=3"],
    "point_reach": ["env.max_steps=9", "env.distance_threshold=0.2"],
}


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import faulty

    return faulty


# -- the doubles -----------------------------------------------------------------------------------


class Filled(NamedTuple):
    """A buffer with the steps of random walks, and what of them was cut by the time limit."""

    buffer: HindsightReplayBuffer
    cut: np.ndarray  # (lanes, rows) bool: truncated, and not terminated


def filled(kind: type[HindsightReplayBuffer], task_name: str, steps: int = 120) -> Filled:
    """The same walks and the same stream of draws for every kind."""
    cfg = compose(TASKS[task_name])
    task = make(cfg.env)
    functions = task.goal_functions()
    buffer = kind(
        capacity=4000, k=4, spaces=task.spaces, goal_functions=functions, num_envs=task.num_envs,
        generator=np.random.default_rng(7), reward_range=task.reward_range,
    )  # fmt: skip
    env = task.make()
    env.action_space.seed(3)
    rollout = Rollout(env, functions)
    buffer.begin(rollout.reset(11))
    cut = np.zeros((task.num_envs, 4000), bool)
    for row in range(steps):
        step, _ = rollout.apply(env.action_space.sample())
        buffer.add(step)
        cut[:, row] = step.truncated & ~step.terminated & step.valid
    env.close()
    functions.close()
    return Filled(buffer, cut)


def drawn(filled: Filled) -> tuple[Batch, np.ndarray, np.ndarray]:
    """A large batch, cloned; which of it is relabelled, and which was cut by the time limit."""
    [batch] = filled.buffer.sample(4000)
    last = filled.buffer.last
    cut = filled.cut[last.lane[0], last.row[0]]
    return Batch(*(part.clone() for part in batch)), last.relabelled[0], cut


def unlike(a: Batch, b: Batch) -> dict[str, np.ndarray]:
    """The fields in which two batches differ, and the rows where."""
    rows = {
        name: (getattr(a, name) != getattr(b, name)).reshape(len(a.reward), -1).any(1).numpy()
        for name in Batch._fields
    }
    return {name: where for name, where in rows.items() if where.any()}


@pytest.mark.parametrize("task", ["nav2d", "bit_flip"])
def test_stale_terminated_differs_where_a_new_goal_is_met_and_nowhere_else(
    faulty: ModuleType, task: str
) -> None:
    right, relabelled, _ = drawn(filled(HindsightReplayBuffer, task))
    wrong, again, _ = drawn(filled(faulty.StaleTerminated, task))
    assert (relabelled == again).all()
    differs = unlike(right, wrong)
    assert list(differs) == ["terminated"]
    where = differs["terminated"]
    assert relabelled[where].all()
    assert (right.reward[where] == 0).all()  # the new goal is met ...
    assert (right.terminated[where] == 1).all()
    assert (wrong.terminated[where] == 0).all()  # ... and the step's own was not
    # All those that meet a new goal, but the ones whose own goal ended the episode.
    met = relabelled & (right.reward == 0).numpy()
    own_end = met & (wrong.terminated == 1).numpy()
    assert (where == met & ~own_end).all()
    assert where.sum() > 100
    assert own_end.any() == (task == "bit_flip")


def test_stale_terminated_is_no_fault_where_no_goal_ends_an_episode(faulty: ModuleType) -> None:
    right, *_ = drawn(filled(HindsightReplayBuffer, "point_reach"))
    wrong, *_ = drawn(filled(faulty.StaleTerminated, "point_reach"))
    assert unlike(right, wrong) == {}
    assert (right.reward == 0).any()


@pytest.mark.parametrize("task", TASKS)
def test_goals_from_the_state_before_are_future_one_state_early(
    faulty: ModuleType, task: str
) -> None:
    offsets = {}
    for kind in (HindsightReplayBuffer, faulty.GoalsFromStateBefore):
        given = filled(kind, task)
        batch, relabelled, _ = drawn(given)
        last, steps = given.buffer.last, given.buffer._steps
        ring, rows = steps.ring, last.lane[0] * steps.ring.stride + last.row[0]
        left = ring.left(rows, ring.age(rows))[relabelled]
        assert (last.goal_lane[0] == last.lane[0])[relabelled].all()
        offset = (last.goal_row[0] - last.row[0])[relabelled]
        offsets[kind] = set(zip(left.tolist(), offset.tolist(), strict=True))
        # Goal, reward and end are one in both: the reward is that of the state after the action.
        goals = ring.gather(torch.from_numpy(rows[relabelled] + offset), "achieved_goal")
        assert (batch.goal[torch.from_numpy(relabelled)] == goals).all()
        after = ring.gather(torch.from_numpy(rows[relabelled] + 1), "achieved_goal")
        reward, terminated = given.buffer._steps.judge(after.clone(), goals, rows[relabelled])
        assert (batch.reward[torch.from_numpy(relabelled)] == reward).all()
        assert (batch.terminated[torch.from_numpy(relabelled)] == terminated).all()
    longest = max(left for left, _ in offsets[HindsightReplayBuffer])
    assert longest >= 3
    seen = range(1, longest + 1)
    assert offsets[HindsightReplayBuffer] == {(n, o) for n in seen for o in range(1, n + 1)}
    assert offsets[faulty.GoalsFromStateBefore] == {(n, o) for n in seen for o in range(n)}


@pytest.mark.parametrize("task", TASKS)
def test_time_limit_terminal_differs_at_the_time_limit_and_nowhere_else(
    faulty: ModuleType, task: str
) -> None:
    right, relabelled, cut = drawn(filled(HindsightReplayBuffer, task))
    wrong, *_ = drawn(filled(faulty.TimeLimitTerminal, task))
    differs = unlike(right, wrong)
    assert list(differs) == ["terminated"]
    assert cut.sum() > 100
    assert (wrong.terminated[cut] == 1).all()
    assert (differs["terminated"] == cut & (right.terminated == 0).numpy()).all()
    if task != "point_reach":  # the last step is relabelled with where it led: met, and so an end
        assert (right.terminated[cut & relabelled] == 1).all()
        assert not differs["terminated"][relabelled].any()


@pytest.mark.parametrize("task", TASKS)
def test_stored_goals_are_overwritten_and_nothing_else_is(faulty: ModuleType, task: str) -> None:
    right, wrong = filled(HindsightReplayBuffer, task), filled(faulty.StoredGoalsOverwritten, task)
    before = {k: a.copy() for k, a in wrong.buffer._ring.arrays.items()}
    first, relabelled, _ = drawn(right)
    assert unlike(first, drawn(wrong)[0]) == {}  # the first draw shows nothing yet
    assert all((right.buffer._ring.arrays[k] == a).all() for k, a in before.items())
    ring, last = wrong.buffer._ring, wrong.buffer.last
    key, start, stop = ring.fields["desired_goal"]
    expected = before[key].copy()
    where = np.flatnonzero(relabelled)
    for i in where:  # in the order of the batch: of a row drawn twice the last goal stays
        expected[last.lane[0, i], last.row[0, i], start:stop] = first.goal[i].numpy()
    assert (expected != before[key]).any()
    assert all((ring.arrays[k] == (expected if k == key else a)).all() for k, a in before.items())
    # Drawn again, steps that keep "their own" goal have another, and the reward of the old one.
    second, third = drawn(right)[0], drawn(wrong)[0]
    differs = unlike(second, third)
    assert list(differs) == ["goal"]
    assert not differs["goal"][wrong.buffer.last.relabelled[0]].any()
    assert differs["goal"].sum() > 100


# -- the scripts -----------------------------------------------------------------------------------

TINY = [
    "trainer.total_steps=240", "trainer.learning_starts=80", "trainer.batch_size=16",
    "trainer.eval_every=80", "trainer.eval_episodes=4", "agent.hidden_sizes=[8]",
]  # fmt: skip


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
    """Call `main` of a script in this process; returns what it says is missing."""
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(SCRIPTS)

    def call(name: str, *words: str) -> list[str]:
        own = [name, "--out", str(tmp_path / "runs"), *words]
        monkeypatch.setattr(sys, "argv", own)
        missing: list[str] = importlib.import_module(name).main()
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
    return text.partition(f"<!-- {name}: ")[2].partition(f"<!-- /{name} -->")[0]


def when(folder: Path) -> dict[Path, int]:
    """When the files of all runs were last written."""
    return {p: p.stat().st_mtime_ns for p in (folder / "runs").rglob("*") if p.is_file()}


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, no process can be started."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    return lambda: monkeypatch.setattr(subprocess, "run", refuse)


def test_the_real_command_runs_its_cells_once(
    script: Callable[..., list[str]], no_process: Callable[[], None], tmp_path: Path
) -> None:
    words = tiny(tmp_path, "--only", "nav2d")
    command = [sys.executable, str(SCRIPTS / "cost_of_faults.py"), "--out", str(tmp_path / "runs")]
    env = os.environ | {"PYTHONPATH": str(SCRIPTS.parent)}  # the doubles are found without it
    done = subprocess.run(
        [*command, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = page_of(tmp_path, "her_faults")
    cells = [line.split("|")[2].strip() for line in page.splitlines() if line.startswith("| nav2d")]
    assert cells == ["correct", "stale terminated", "goals from the state before",
                     "time limit as terminal", "stored goals overwritten"]  # fmt: skip
    assert "5 runs, seeds 0 to 0" in page
    assert "Missing" not in page
    before = when(tmp_path)
    assert sum(path.name == "held_out.json" for path in before) == 5
    no_process()
    assert script("cost_of_faults", *words) == []
    assert page_of(tmp_path, "her_faults") == page
    assert when(tmp_path) == before  # nothing ran, nothing was judged anew


def test_a_lost_run_alone_is_run_again(
    script: Callable[..., list[str]], no_process: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    import reproduce_fig6

    monkeypatch.setattr(reproduce_fig6, "K", [4])  # a small part of its 42 cells
    two = {name: reproduce_fig6.STRATEGIES[name] for name in ("future", "random")}
    monkeypatch.setattr(reproduce_fig6, "STRATEGIES", two)
    words = tiny(tmp_path, "--only", "bit_flip")
    assert script("reproduce_fig6", *words) == []
    page = page_of(tmp_path, "her_fig6")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| ")]
    cells = [[text.strip() for text in row] for row in rows[2:]]
    assert cells == [["future", "4"], ["random", "4"], ["no hindsight", "0"]]
    before = when(tmp_path)
    [lost] = [p for p in before if p.name == "result.json" and "strategy=random" in str(p)]
    lost.write_text(lost.read_text().replace('"done"', '"failed"'))
    assert script("reproduce_fig6", *words) == []
    same = [p for p, at in when(tmp_path).items() if p.name == "result.json" and before[p] == at]
    assert len(same) == 2
    assert '"done"' in lost.read_text()
    # Another setting is another run, also below the same folder.
    no_process()
    with pytest.raises(AssertionError, match="a process was started"):
        script("reproduce_fig6", *words[:-1], "agent.hidden_sizes=[9]")


def test_what_failed_is_told_as_missing(script: Callable[..., list[str]], tmp_path: Path) -> None:
    words = tiny(tmp_path, "--only", "50")
    assert script("reproduce_fig1", *words) == []
    page = page_of(tmp_path, "her_fig1")
    assert "| 50   | DQN + HER | 240 " in page
    assert "| 50   | DQN       | 240 " in page
    [lost] = [p for p in when(tmp_path) if p.name == "result.json" and "k=0" in str(p)]
    lost.write_text('{"status": "stopped"}')
    for checkpoint in lost.parent.glob("checkpoints/*"):  # it cannot go on
        checkpoint.write_bytes(b"broken")
    missing = script("reproduce_fig1", *words)
    assert missing == ["her_fig1_50 (50, 0): 1 runs"]
    page = page_of(tmp_path, "her_fig1")
    assert "**Missing**: her_fig1_50 (50, 0): 1 runs" in page
    assert "| DQN  " not in page


@pytest.fixture
def grids(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("grids")


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
