"""The doubles that the reproductions measure have exactly their fault, and no other."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.config.compose import compose
from her_exp.training.build import make
from her_exp.training.rollout import Rollout
from her_exp.types import Batch

TASKS = {
    "nav2d": ["experiment=nav2d", "env.max_steps=7"],
    # So few bits that own goals are met, too.
    "bit_flip": ["experiment=bit_flip", "env.n_bits=3"],
    "point_reach": ["env.max_steps=9", "env.distance_threshold=0.2"],
}
STEPS = 120


@pytest.fixture
def faulty(load: Any) -> ModuleType:
    module: ModuleType = load("faulty")
    return module


class Filled(NamedTuple):
    """A buffer with the steps of random walks, and what they were, (lanes, steps) each."""

    buffer: HindsightReplayBuffer
    functions: Any
    cut: np.ndarray  #: truncated, and not terminated
    left: np.ndarray  #: states to come in the episode
    before: np.ndarray  #: goals achieved before and after the action
    after: np.ndarray


def filled(kind: type[HindsightReplayBuffer], task_name: str) -> Filled:
    """The same walks and the same stream of draws for every kind."""
    task = make(compose(TASKS[task_name]).env)
    functions, env = task.goal_functions(), task.make()
    buffer = kind(
        capacity=4000, k=4, spaces=task.spaces, goal_functions=functions, num_envs=task.num_envs,
        generator=np.random.default_rng(7), reward_range=task.reward_range,
    )  # fmt: skip
    env.action_space.seed(3)
    rollout = Rollout(env, functions)
    buffer.begin(rollout.reset(11))
    cut, ends, before, after = [], [], [], []
    for _ in range(STEPS):
        step, _ = rollout.apply(env.action_space.sample())
        buffer.add(step)
        before.append(step.observation["achieved_goal"].copy())
        after.append(step.next_observation["achieved_goal"].copy())
        cut.append(step.truncated & ~step.terminated & step.valid)
        ends.append(step.terminated | step.truncated)
    env.close()
    ends[-1] = np.ones_like(ends[-1])
    left = np.zeros((STEPS + 1, task.num_envs), int)
    for row in reversed(range(STEPS)):
        left[row] = np.where(ends[row], 1, left[row + 1] + 1)
    lanes_first = [np.stack(part).swapaxes(0, 1) for part in (cut, left[:-1], before, after)]
    return Filled(buffer, functions, *lanes_first)


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


@pytest.mark.parametrize("task", TASKS)
def test_stale_terminated_differs_where_a_new_goal_is_met_and_nowhere_else(
    faulty: ModuleType, task: str
) -> None:
    right, relabelled, _ = drawn(filled(HindsightReplayBuffer, task))
    wrong, again, _ = drawn(filled(faulty.StaleTerminated, task))
    assert (relabelled == again).all()
    assert (right.reward == 0).any()
    differs = unlike(right, wrong)
    if task == "point_reach":  # where no goal ends an episode
        assert differs == {}
        return
    assert list(differs) == ["terminated"]
    where = differs["terminated"]
    assert (right.terminated[where] == 1).all()
    # All those that meet a new goal, but the ones whose own goal ended the episode.
    met = relabelled & (right.reward == 0).numpy()
    own_end = met & (wrong.terminated == 1).numpy()
    assert (where == met & ~own_end).all()
    assert where.sum() > 100
    assert own_end.any() == (task == "bit_flip")


@pytest.mark.parametrize("task", TASKS)
def test_goals_from_the_state_before_are_future_one_state_early(
    faulty: ModuleType, task: str
) -> None:
    for kind, early in ((HindsightReplayBuffer, 0), (faulty.GoalsFromStateBefore, 1)):
        given = filled(kind, task)
        batch, relabelled, _ = drawn(given)
        last = given.buffer.last
        assert (last.goal_lane[0] == last.lane[0])[relabelled].all()
        lane, row, to = (part[0][relabelled] for part in (last.lane, last.row, last.goal_row))
        seen = set(zip(given.left[lane, row].tolist(), (to - row).tolist(), strict=True))
        longest = max(left for left, _ in seen)
        assert longest >= 3
        every = {(n, o - early) for n in range(1, longest + 1) for o in range(1, n + 1)}
        assert seen == every
        # Goal, reward and end are one in both: the reward is that of the state after the action.
        goals = np.where((to > row)[:, None], given.after[lane, to - 1], given.before[lane, row])
        after = given.after[lane, row]
        np.testing.assert_array_equal(batch.goal[relabelled], goals.astype(np.float32))
        reward = given.functions.reward(after, goals, {})
        np.testing.assert_array_equal(batch.reward[relabelled], reward)
        ends = given.functions.terminated(after, goals, {})
        np.testing.assert_array_equal(batch.terminated[relabelled], ends)


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


@pytest.mark.parametrize("task", TASKS)
def test_stored_goals_are_overwritten_and_nothing_else_is(faulty: ModuleType, task: str) -> None:
    right, wrong = filled(HindsightReplayBuffer, task), filled(faulty.StoredGoalsOverwritten, task)
    first, relabelled, _ = drawn(right)
    assert unlike(first, drawn(wrong)[0]) == {}  # the first draw shows nothing yet
    last = wrong.buffer.last
    # In the order of the batch: of a row drawn twice the last goal stays.
    written = {(last.lane[0, i], last.row[0, i]): first.goal[i] for i in np.flatnonzero(relabelled)}
    second, third = drawn(right)[0], drawn(wrong)[0]
    differs = unlike(second, third)
    assert list(differs) == ["goal"]
    assert differs["goal"].sum() > 100
    last = wrong.buffer.last
    assert not differs["goal"][last.relabelled[0]].any()
    for i in np.flatnonzero(~last.relabelled[0]):  # with "their own" goal, and the old one's reward
        goal = written.get((last.lane[0, i], last.row[0, i]), second.goal[i])
        assert (third.goal[i] == goal).all()
