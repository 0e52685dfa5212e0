"""What the buffer does at the edges of its contract."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.types import GoalFunctions, GoalSpaces, Step, UserError

BOX = spaces.Box(-np.inf, np.inf, (1,), np.float32)


class Functions(GoalFunctions):
    def reward(self, achieved, desired, info):
        return np.where(achieved[:, 0] == desired[:, 0], 0.0, -1.0)

    def terminated(self, achieved, desired, info):
        return np.zeros(len(achieved), bool)

    success = terminated


def make(lanes: int = 1, capacity: int = 20, **more) -> HindsightReplayBuffer:
    return HindsightReplayBuffer(
        capacity, spaces=GoalSpaces(BOX, BOX, spaces.Discrete(2)), goal_functions=Functions(),
        num_envs=lanes, generator=np.random.default_rng(0), **more,
    )  # fmt: skip


def state(value: float, lanes: int = 1) -> dict[str, np.ndarray]:
    column = np.full((lanes, 1), value, np.float32)
    return {"observation": column, "achieved_goal": column, "desired_goal": column * 0 - 1}


def step(value: float, *, lanes: int = 1, valid: bool = True, truncated: bool = False) -> Step:
    no, yes = np.zeros(lanes, bool), np.ones(lanes, bool)
    return Step(
        state(value, lanes), np.zeros(lanes, np.int64), np.full(lanes, -1.0), no,
        yes if truncated else no, state(value + 1, lanes), yes if valid else no, {}, no,
    )  # fmt: skip


def test_an_episode_that_began_anew_without_telling_lends_no_goal_to_the_one_before() -> None:
    buffer = make(strategy="final")
    buffer.begin(state(0))
    buffer.add(step(0))
    buffer.add(step(1, valid=False))  # no flag said that state 1 was the last one
    buffer.add(step(2))
    (batch,) = buffer.sample(200)
    first = batch.observation[:, 0] == 0
    relabelled = batch.goal[:, 0] >= 0
    assert set(batch.goal[first & relabelled, 0].tolist()) == {1.0}


def test_add_before_begin_is_refused() -> None:
    with pytest.raises(ValueError, match="begin"):
        make().add(step(0))


def test_nothing_to_draw_is_said() -> None:
    buffer = make()
    buffer.begin(state(0))
    buffer.begin(state(5))
    with pytest.raises(ValueError, match="no step yet"):
        buffer.sample(4)


def test_a_state_of_other_lanes_is_refused() -> None:
    one = make(lanes=1, capacity=20)
    one.begin(state(0))
    with pytest.raises(ValueError, match="saved ring"):
        make(lanes=4, capacity=80).load_state_dict(one.state_dict())


def test_a_strategy_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="future"):
        make(strategy="latest")


def test_nbytes_is_what_the_ring_takes() -> None:
    tracemalloc.start()
    buffer = make(lanes=3, capacity=200_000)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    told = buffer.nbytes(GoalSpaces(BOX, BOX, spaces.Discrete(2)), 200_000, 3)
    assert taken == pytest.approx(told, rel=0.01)


def test_without_relabelling_no_strategy_is_asked() -> None:
    def strategy(steps, generator):
        raise AssertionError(f"asked for {len(steps.left)} goals")

    buffer = make(k=0, strategy=strategy)
    buffer.begin(state(0))
    buffer.add(step(0))
    assert buffer.sample(8, 2)[1].goal.shape == (8, 1)


OUTSIDE = {
    "beyond the episode": lambda drawn: drawn.left + 1,
    "the first state": lambda drawn: -drawn.since,
    "before the first state": lambda drawn: -drawn.since - 1,
    "gone from the ring": lambda drawn: np.where(drawn.since > 3, -drawn.alive_back - 1, 1),
    "a number, for all": lambda drawn: 5,
}


@pytest.mark.parametrize("offsets", OUTSIDE.values(), ids=OUTSIDE)
def test_a_strategy_that_leaves_its_episode_is_stopped(offsets: Any) -> None:
    buffer = make(capacity=6, strategy=lambda drawn, _: drawn.at(offsets(drawn)))
    buffer.begin(state(0))
    for value in range(9):
        buffer.add(step(value, truncated=value == 8))
    with pytest.raises(
        UserError, match=r"buffer.strategy: offset -?\d+ from step \d of an episode"
    ):
        buffer.sample(100)


@pytest.mark.parametrize("offset", [lambda d: d.left, lambda d: 1, lambda d: 1 - d.since])
def test_the_ends_of_an_episode_may_be_asked_for(offset: Any) -> None:
    buffer = make(strategy=lambda drawn, _: drawn.at(offset(drawn)))
    buffer.begin(state(0))
    for value in range(4):
        buffer.add(step(value))
    (batch,) = buffer.sample(200)
    state_now, goal = batch.observation[:, 0], batch.goal[:, 0]
    since = SimpleNamespace(since=state_now, left=4 - state_now)
    assert torch.equal(goal[goal >= 0], (state_now + offset(since))[goal >= 0])
    assert (goal >= 0).sum() > 100


@pytest.mark.parametrize("shape", [0, 3, (1, 80)])
def test_a_strategy_that_answers_for_others_is_stopped(shape: Any) -> None:
    buffer = make(strategy=lambda drawn, _: np.zeros(shape, np.int64))
    buffer.begin(state(0))
    buffer.add(step(0))
    with pytest.raises(UserError, match=r"buffer.strategy: chose rows of shape .* for 80 steps"):
        buffer.sample(100)
