"""What a reward in the hindsight buffer may be: in its range, give or take what float32 rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.distance import DistanceGoal
from her_exp.types import GoalFunctions, GoalSpaces, Step, UserError


class Distance(GoalFunctions):
    """Minus the distance (dense), or a price for not being near; no info."""

    def __init__(self, near: float | None = None, price: float = 1.0) -> None:
        self.near, self.price = near, price

    def reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        far = np.linalg.norm(np.asarray(achieved, float) - np.asarray(desired, float), axis=-1)
        return -far if self.near is None else -self.price * (far > self.near)

    def terminated(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return np.zeros(len(achieved), bool)

    success = terminated


def line(
    functions: Any, reward_range: Any, k: int = 4, seed: int = 0, strategy: str = "random"
) -> tuple[Any, Any]:
    """Return a buffer of one lane on a line (from 0, goal at 10) and what adds a step to it."""
    box = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    buffer = HindsightReplayBuffer(
        100,
        k=k,
        strategy=strategy,
        spaces=GoalSpaces(box, box, spaces.Box(-1, 1, (1,), np.float32)),
        goal_functions=functions,
        num_envs=1,
        generator=np.random.default_rng(seed),
        reward_range=reward_range,
    )

    def at(place: float) -> dict[str, np.ndarray]:
        place = np.array([[place]])
        return {"observation": place, "achieved_goal": place, "desired_goal": np.array([[10.0]])}

    now = 0.0

    ended = False

    def add(place: float, reward: float | None = None, truncated: bool = False) -> None:
        nonlocal now, ended
        after = at(place)
        goals = after["achieved_goal"], after["desired_goal"]
        pay = functions.reward(*goals, {}) if reward is None else np.array([reward])
        action, no = np.zeros((1, 1), np.float32), np.array([False])
        ends, valid = np.array([truncated]), np.array([not ended])
        buffer.add(Step(at(now), action, pay.astype(np.float64), no, ends, after, valid, {}, no))
        now, ended = place, truncated

    buffer.begin(at(0.0))
    return buffer, add


@pytest.mark.parametrize("reward", [-1.5, 0.25, float("nan"), float("inf"), -float("inf")])
def test_a_reward_outside_its_range_is_refused(reward: float) -> None:
    buffer, add = line(Distance(), (-1.0, 0.0))
    add(9.5)
    add(9.5, reward=-1.0)
    add(9.5, reward=0.0)
    with pytest.raises(UserError, match=r"reward"):
        add(9.5, reward=reward)
    line(Distance(), None)[1](9.5, reward=-1.5)  # nothing declared, nothing refused
    assert buffer.size > 0


def test_a_relabelled_reward_outside_its_range_is_refused() -> None:
    """Each step lies within 3 of its own goal, but up to 6 of the others' ends."""
    for k in (0, 4):
        buffer, add = line(Distance(), (-3.0, 0.0), k=k)
        for place in (7.0, 13.0, 7.0, 13.0):
            add(place)
        if k:
            with pytest.raises(UserError, match=r"reward"):
                buffer.sample(64)
        else:
            buffer.sample(64)


def test_the_reward_of_an_autoreset_step_is_nothing() -> None:
    """Gymnasium gives 0 there, which the range of a task need not hold."""
    buffer, add = line(Distance(), (-20.0, -1.0), k=0)
    add(5.0, truncated=True)
    add(0.0, reward=0.0)
    add(4.0)
    (batch,) = buffer.sample(40)
    assert set(batch.reward.tolist()) == {-5.0, -6.0}


@pytest.mark.parametrize(
    "functions", [Distance(), Distance(near=0.5, price=0.1), Distance(near=0.5, price=100.3)]
)
def test_rounding_to_float32_is_no_reward_outside_its_range(functions: Distance) -> None:
    """A range that is just reached: 0 at the goal, give or take the 1e-8 of float32."""
    rng = np.random.default_rng(0)
    low = -functions.price if functions.near else -20.0
    buffer, add = line(functions, (low, 0.0))
    for place in rng.normal(size=90):
        add(float(place))
    for _ in range(20):
        (batch,) = buffer.sample(256)
        assert batch.reward.max() <= 1e-5
        assert batch.reward.min() >= low * (1 + 1e-6) - 1e-5


def test_a_float64_world_loses_no_more_than_float32() -> None:
    """Rewards of states that float32 rounds: exact for own goals, close for the others."""
    rng = np.random.default_rng(1)
    buffer, add = line(Distance(), None, strategy="future")
    for place in rng.normal(size=99):
        add(float(place))
    (batch,) = buffer.sample(2000)
    far = -(batch.next_observation - batch.goal).abs()[:, 0]
    torch.testing.assert_close(batch.reward, far, atol=2e-6, rtol=0)


class Near(Distance):
    """Ends where the goal is met, and has the tensor version that `distance` stands for."""

    def __init__(self, distance: DistanceGoal | None) -> None:
        super().__init__(near=0.5)
        self.distance = distance

    def terminated(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return self.reward(achieved, desired, info) == 0


def test_the_tensor_version_of_a_distance_gives_the_same_batches() -> None:
    batches = []
    for distance in (DistanceGoal(0.5, 0.0, -1.0, terminates=True), None):
        buffer, add = line(Near(distance), (-1.0, 0.0))
        for place in np.random.default_rng(3).normal(size=90):
            add(float(place))
        batches.append(buffer.sample(400, 2))
    assert 0 < batches[0][0].terminated.mean() < 1
    for one, other in zip(*batches, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
