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
TASK = pytest.mark.parametrize("task", TASKS)
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
    steps = []
    for _ in range(STEPS):
        step, _ = rollout.apply(env.action_space.sample())
        buffer.add(step)
        places = (step.observation["achieved_goal"], step.next_observation["achieved_goal"])
        cut = step.truncated & ~step.terminated & step.valid
        steps.append([part.copy() for part in (cut, *places)])
    env.close()
    return Filled(buffer, functions, *(np.stack(part, 1) for part in zip(*steps, strict=True)))


def drawn(filled: Filled) -> tuple[Batch, np.ndarray]:
    """A large batch, cloned, and which of it is relabelled."""
    [batch] = filled.buffer.sample(4000)
    copied = {name: part.clone() for name, part in batch.parts.items()}
    return Batch(**copied), filled.buffer.last.relabelled[0]


def unlike(a: Batch, b: Batch) -> dict[str, np.ndarray]:
    """The fields in which two batches differ, and the rows where."""
    rows = {
        name: (getattr(a, name) != getattr(b, name)).reshape(len(a.reward), -1).any(1).numpy()
        for name in a.parts
    }
    return {name: where for name, where in rows.items() if where.any()}


@TASK
def test_stale_terminated_differs_where_a_new_goal_is_met(faulty: ModuleType, task: str) -> None:
    right, relabelled = drawn(filled(HindsightReplayBuffer, task))
    wrong, _ = drawn(filled(faulty.StaleTerminated, task))
    met, differs = relabelled & (right.reward == 0).numpy(), unlike(right, wrong)
    assert met.sum() > 100
    if task == "point_reach":  # where no goal ends an episode
        assert differs == {}
        return
    assert list(differs) == ["terminated"]
    # All those that meet a new goal, but the ones whose own goal ended the episode.
    own_end = met & (wrong.terminated == 1).numpy()
    assert (differs["terminated"] == met & ~own_end).all()
    assert own_end.any() == (task == "bit_flip")


@TASK
def test_goals_from_the_state_before_are_future_one_state_early(
    faulty: ModuleType, task: str
) -> None:
    right, wrong = (filled(k, task) for k in (HindsightReplayBuffer, faulty.GoalsFromStateBefore))
    drawn(right)
    batch, relabelled = drawn(wrong)
    first, last = right.buffer.last, wrong.buffer.last
    lane, row, to = (part[0][relabelled] for part in (last.lane, last.row, last.goal_row))
    assert (last.goal_lane[0][relabelled] == lane).all()
    assert (to == first.goal_row[0][relabelled] - 1).all()
    assert {0, 1, 2} <= set((to - row).tolist())
    # Goal, reward and end are one: the reward is that of the state after the action.
    goals, after = wrong.before[lane, to], wrong.after[lane, row]
    for name, wanted in {
        "goal": goals.astype(np.float32),
        "reward": wrong.functions.reward(after, goals, {}),
        "terminated": wrong.functions.terminated(after, goals, {}),
    }.items():
        np.testing.assert_array_equal(getattr(batch, name)[relabelled], wanted)


@TASK
def test_time_limit_terminal_differs_at_the_time_limit(faulty: ModuleType, task: str) -> None:
    given = filled(HindsightReplayBuffer, task)
    right, _ = drawn(given)
    wrong, _ = drawn(filled(faulty.TimeLimitTerminal, task))
    differs = unlike(right, wrong)
    cut = given.cut[given.buffer.last.lane[0], given.buffer.last.row[0]]
    assert list(differs) == ["terminated"]
    assert differs["terminated"].sum() > 20
    assert (differs["terminated"] == cut & (right.terminated == 0).numpy()).all()


@TASK
def test_stored_goals_are_overwritten(faulty: ModuleType, task: str) -> None:
    right, wrong = filled(HindsightReplayBuffer, task), filled(faulty.StoredGoalsOverwritten, task)
    first, relabelled = drawn(right)
    assert unlike(first, drawn(wrong)[0]) == {}  # the first draw shows nothing yet
    last = wrong.buffer.last
    # In the order of the batch: of a row drawn twice the last goal stays.
    written = {(last.lane[0, i], last.row[0, i]): first.goal[i] for i in np.flatnonzero(relabelled)}
    (second, _), (third, again) = drawn(right), drawn(wrong)
    differs = unlike(second, third)
    assert list(differs) == ["goal"]
    assert differs["goal"].sum() > 100
    last = wrong.buffer.last
    assert not differs["goal"][again].any()
    for i in np.flatnonzero(~again):  # with "their own" goal, and the old one's reward
        goal = written.get((last.lane[0, i], last.row[0, i]), second.goal[i])
        assert (third.goal[i] == goal).all()
