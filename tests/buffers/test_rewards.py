"""What a reward in the hindsight buffer may be: in its range, give or take what float32 rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from her_exp.distance import DistanceGoal
from her_exp.types import UserError
from tests.buffers.one_lane import Distance, OneLane
from tests.equality import differences


def line(functions: Distance, reward_range: Any, **settings: Any) -> OneLane:
    """A lane on a line, from 0, with its goal at 10."""
    return OneLane(functions, [10.0], np.float64, reward_range=reward_range, **settings)


@pytest.mark.parametrize("reward", [-1.5, 0.25, float("nan"), float("inf"), -float("inf")])
def test_a_reward_outside_its_range_is_refused(reward: float) -> None:
    lane = line(Distance(), (-1.0, 0.0))
    lane.add(9.5)
    lane.add(9.5, reward=-1.0)
    lane.add(9.5, reward=0.0)
    with pytest.raises(UserError, match=r"reward"):
        lane.add(9.5, reward=reward)
    line(Distance(), None).add(9.5, reward=-1.5)  # nothing declared, nothing refused


@pytest.mark.parametrize("k", [0, 4])
def test_a_relabelled_reward_outside_its_range_is_refused(k: int) -> None:
    """Each step lies within 3 of its own goal, but up to 6 of the others' ends."""
    lane = line(Distance(), (-3.0, 0.0), k=k)
    for place in (7.0, 13.0, 7.0, 13.0):
        lane.add(place)
    if k == 0:
        lane.buffer.sample(64)
        return
    with pytest.raises(UserError, match=r"or null; or the env's reward .* her_exp\.check tells$"):
        lane.buffer.sample(64)


def test_the_reward_of_an_autoreset_step_is_nothing() -> None:
    """Gymnasium gives 0 there, which the range of a task need not hold."""
    lane = line(Distance(), (-20.0, -1.0), k=0)
    lane.add(5.0, truncated=True)
    lane.add(0.0, reward=0.0, valid=False)
    lane.add(4.0)
    (batch,) = lane.buffer.sample(40)
    assert set(batch.reward.tolist()) == {-5.0, -6.0}


@pytest.mark.parametrize(
    "functions", [Distance(), Distance(near=0.5, price=0.1), Distance(near=0.5, price=100.3)]
)
def test_rounding_to_float32_is_no_reward_outside_its_range(functions: Distance) -> None:
    """A range that is just reached: 0 at the goal, give or take the 1e-8 of float32."""
    low = -functions.price if functions.near else -20.0
    lane = line(functions, (low, 0.0))
    for place in np.random.default_rng(0).normal(size=90):
        lane.add(place)
    for _ in range(20):
        (batch,) = lane.buffer.sample(256)
        assert batch.reward.max() <= 1e-5
        assert batch.reward.min() >= low * (1 + 1e-6) - 1e-5


def test_a_float64_world_loses_no_more_than_float32() -> None:
    """Rewards of states that float32 rounds: exact for own goals, close for the others."""
    lane = line(Distance(), None, strategy="future")
    for place in np.random.default_rng(1).normal(size=99):
        lane.add(place)
    (batch,) = lane.buffer.sample(2000)
    far = -(batch.next_observation - batch.goal).abs()[:, 0]
    torch.testing.assert_close(batch.reward, far, atol=2e-6, rtol=0)


def test_the_tensor_version_of_a_distance_gives_the_same_batches() -> None:
    batches = []
    for distance in (DistanceGoal(0.5, 0.0, -1.0, terminates=True), None):
        lane = line(Distance(near=0.5, ends=0.0, distance=distance), (-1.0, 0.0))
        for place in np.random.default_rng(3).normal(size=90):
            lane.add(place)
        batches.append(lane.buffer.sample(400, 2))
    assert 0 < batches[0][0].terminated.mean() < 1
    assert differences(*batches) == []
