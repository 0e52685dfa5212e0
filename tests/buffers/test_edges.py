"""What the buffer does at the edges of its contract."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from her_exp.types import UserError
from tests.buffers.one_lane import Distance, OneLane
from tests.buffers.side_by_side import Both


def walked(steps: int = 4, **settings: Any) -> OneLane:
    """A lane that went from 0 on, one further each step; its goal is at -1."""
    lane = OneLane(Distance(), [-1.0], **settings)
    for place in range(steps):
        lane.add(place + 1)
    return lane


def test_an_episode_that_began_anew_without_telling_lends_no_goal_to_the_one_before() -> None:
    lane = walked(1, strategy="final")
    lane.add(2, valid=False)  # no flag said that state 1 was the last one
    lane.add(3)
    (batch,) = lane.buffer.sample(200)
    first = batch.observation[:, 0] == 0
    relabelled = batch.goal[:, 0] >= 0
    assert set(batch.goal[first & relabelled, 0].tolist()) == {1.0}


def test_what_cannot_be_done_yet_or_at_all_is_said() -> None:
    both = Both()
    with pytest.raises(ValueError, match="begin"):
        both.give(both.buffer, Both().begin().world.step())
    both.begin().begin()
    with pytest.raises(ValueError, match="no step yet"):
        both.buffer.sample(4)
    with pytest.raises(ValueError, match="saved ring"):
        Both(96, lanes=4).buffer.load_state_dict(both.buffer.state_dict())
    with pytest.raises(ValueError, match="future"):
        walked(strategy="latest")


def test_nbytes_is_what_the_ring_takes() -> None:
    both = Both(200_000, lanes=3, kind="int")
    tracemalloc.start()
    buffer = both.new_buffer(0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken == pytest.approx(buffer.nbytes(both.world.spaces, 200_000, 3), rel=0.01)


def test_without_relabelling_no_strategy_is_asked() -> None:
    lane = walked(1, k=0, strategy=lambda steps, generator: pytest.fail("asked"))
    assert lane.buffer.sample(8, 2)[1].goal.shape == (8, 1)


OUTSIDE = {
    "beyond the episode": lambda drawn: drawn.left + 1,
    "the first state": lambda drawn: -drawn.since,
    "before the first state": lambda drawn: -drawn.since - 1,
    "gone from the ring": lambda drawn: np.where(drawn.since > 3, -drawn.alive_back - 1, 1),
    "a number, for all": lambda drawn: 5,
}


@pytest.mark.parametrize("offsets", OUTSIDE.values(), ids=OUTSIDE)
def test_a_strategy_that_leaves_its_episode_is_stopped(offsets: Any) -> None:
    lane = walked(8, capacity=6, strategy=lambda drawn, _: drawn.at(offsets(drawn)))
    lane.add(9, truncated=True)
    with pytest.raises(
        UserError, match=r"buffer.strategy: offset -?\d+ from step \d of an episode"
    ):
        lane.buffer.sample(100)


@pytest.mark.parametrize("offset", [lambda d: d.left, lambda d: 1, lambda d: 1 - d.since])
def test_the_ends_of_an_episode_may_be_asked_for(offset: Any) -> None:
    lane = walked(4, strategy=lambda drawn, _: drawn.at(offset(drawn)))
    (batch,) = lane.buffer.sample(200)
    state, goal = batch.observation[:, 0], batch.goal[:, 0]
    since = SimpleNamespace(since=state, left=4 - state)
    assert torch.equal(goal[goal >= 0], (state + offset(since))[goal >= 0])
    assert (goal >= 0).sum() > 100


@pytest.mark.parametrize("shape", [0, 3, (1, 80)])
def test_a_strategy_that_answers_for_others_is_stopped(shape: Any) -> None:
    lane = walked(strategy=lambda drawn, _: np.zeros(shape, np.int64))
    with pytest.raises(UserError, match=r"buffer.strategy: chose rows of shape .* for 80 steps"):
        lane.buffer.sample(100)
