"""The doubles that the reproductions measure have exactly their fault, and no other."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.config.compose import compose
from her_exp.training.build import make
from her_exp.training.rollout import Rollout
from her_exp.types import Batch

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
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
