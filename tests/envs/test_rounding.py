"""Envs that judge in float64 what they show in float32: at a threshold the two may differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from her_exp.rounding import either_side
from her_exp.types import GoalFunctions
from tests.buffers.one_lane import OneLane


class Within(GoalFunctions):
    """-1 away from the goal; may end where it is met, and not count the threshold itself as met."""

    def __init__(self, near: float, ends: bool = False, strictly: bool = False) -> None:
        self.near, self.ends, self.strictly = near, ends, strictly

    def met(self, achieved: Any, desired: Any) -> Any:
        gap = np.linalg.norm(np.asarray(achieved, float) - np.asarray(desired, float), axis=-1)
        return gap < self.near if self.strictly else gap <= self.near

    def reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.met(achieved, desired) - 1.0

    def terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.met(achieved, desired) & self.ends

    success = met


def assert_left_over(lane: OneLane, extra: float, ended: bool) -> None:
    """Under any other goal a step pays and ends as that goal says, but for what no goal explains."""
    (batch,) = lane.buffer.sample(64)
    sides, drawn = (
        (batch.next_observation.numpy(), batch.goal.numpy()),
        lane.buffer.last.relabelled[0],
    )
    reward, over = lane.functions.reward(*sides, {}) + extra, lane.functions.terminated(*sides, {})
    assert 20 < drawn.sum() < 64
    assert (batch.reward.numpy() == reward)[drawn].all()
    assert (batch.terminated.numpy() == (over | ended))[drawn].all()


#: Threshold, a place, and the goal in the env: as float32 it lies on the other side of the threshold.
CROSSED = [
    (0.3, 0.10495830327272415, 0.40495830327272414),
    (0.3, 0.2910884916782379, 0.591088491678238),
    (0.7, 0.2377185970544815, 0.9377185980544814),
]


@pytest.mark.parametrize(("near", "start", "goal"), CROSSED)
@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("cost", [0.0, 0.013])
def test_a_goal_that_was_rounded_over_a_threshold(
    near: float, start: float, goal: float, ends: bool, cost: float
) -> None:
    """A row whose reward seems to be of something else than the goal would give that to all goals.

    What is of something else stays: the cost of each step, the crash at 90, which costs 5 and ends.
    """
    functions = Within(near, ends)
    lane = OneLane(functions, [goal])
    assert functions.met([start], [goal]) != functions.met([start], [np.float32(goal)])
    for place in (start, 50.0, 90.0):
        missed, crash = abs(place - goal) > near, place == 90.0
        paid, ended = -1.0 * missed - 5.0 * crash - cost, crash or (ends and not missed)
        lane.add(place, reward=paid, terminated=ended)
    (batch,) = lane.buffer.sample(800)
    other = batch.goal[:, 0] != np.float32(goal)  # drawn in hindsight
    place, gap = batch.next_observation[:, 0], (batch.next_observation - batch.goal).abs()[:, 0]
    assert all(((place == p) & other & (gap == 0)).any() for p in (np.float32(start), 50.0, 90.0))
    assert all(((place == p) & other & (gap > 0)).any() for p in (np.float32(start), 50.0, 90.0))
    expected = -1.0 * (gap > near).float() - 5.0 * (place == 90.0).float() - cost
    torch.testing.assert_close(batch.reward[other], expected[other])
    over = ((gap <= near) & ends) | (place == 90.0)
    torch.testing.assert_close(batch.terminated[other], over.float()[other])


@pytest.mark.parametrize(
    ("functions", "goal", "place", "reward", "ended"),
    [
        # Bits as floats, compared for equality, and a bump that costs 1 in the step that meets them.
        (Within(0.0), [0.0, 1.0], [0.0, 1.0], -1.0, False),
        (Within(0.0), [0.25, 1e-3], [0.25, 1e-3], -1.0, False),  # met, with any digits
        (Within(1.0, strictly=True), [3.0], [2.0], 0.0, False),  # a coin of 1, beside the goal
        (Within(1.0, ends=True, strictly=True), [3.0], [2.0], -1.0, True),  # a pit there
        # The same on tenths, thirds, half cells, and places that a sum of float32 tenths has drifted to.
        (Within(0.1), [0.4, 0.7], [0.3, 0.7], -1.0, False),
        (Within(0.1), [0.4, 0.7], [0.3, 0.7], 0.0, False),
        (Within(1 / 3), [4 / 3], [5 / 3], -1.0, False),
        (Within(1 / 3), [4 / 3], [5 / 3], 0.0, False),
        (Within(0.2), [0.35], [0.15], -1.0, False),
        (Within(np.pi / 8), [np.pi / 4, 0.0], [np.pi / 8, 0.0], -1.0, False),
        (Within(0.1), [float(np.cumsum(np.full(7, 0.1, np.float32))[-1])], [0.8], -1.0, False),
    ],
)
def test_on_a_lattice_nothing_was_rounded(
    functions: Within, goal: list[float], place: list[float], reward: float, ended: bool
) -> None:
    """What an env pays there beside the goal stays, at a threshold too."""
    lane = OneLane(functions, goal)
    lane.add(*place, reward=reward, terminated=ended)
    sides = np.array([place], np.float32), np.array([goal], np.float32)
    assert_left_over(lane, float(reward - functions.reward(*sides, {})[0]), ended)


class Coordinates(Within):
    """As many points as coordinates are met; the action costs 1, which no goal explains."""

    def met(self, achieved: Any, desired: Any) -> Any:
        gap = np.abs(np.asarray(achieved, np.float64) - np.asarray(desired, np.float64))
        return (gap <= self.near).sum(-1)

    def terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return np.zeros(len(achieved), bool)


@pytest.mark.parametrize("step", [0.1, 0.05, 1 / 3, 0.7, 1e-3, 12.5])
def test_a_cost_on_a_lattice_stays_at_a_threshold(step: float) -> None:
    functions = Coordinates(near=step)
    rng = np.random.default_rng(0)
    for most in np.repeat([9, 70, 700], 20):  # also far from where the lattice begins
        place, goal = rng.integers(-most, most + 1, (2, 3)) * step
        goal[0] = place[0] + step
        place, goal = place.tolist(), goal.tolist()
        lane = OneLane(functions, goal)
        sides = np.array([place], np.float32), np.array([goal], np.float32)
        lane.add(*place, reward=float(functions.reward(*sides, {})[0]) - 1.0)
        assert_left_over(lane, -1.0, False)


places = st.integers(-1_000_000, 1_000_000).map(lambda i: i / 1e4)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=3))
def test_either_side(pairs: list[tuple[float, float]]) -> None:
    achieved, desired = (np.array([side], np.float32) for side in zip(*pairs, strict=True))
    nearer, farther = either_side(achieved, desired)
    assert nearer.dtype == farther.dtype == np.float32
    gap, less, more = (np.abs(achieved.astype(float) - g) for g in (desired, nearer, farther))
    assert (less <= gap).all()
    assert (more >= gap).all()
    width = 3 * np.finfo(np.float32).eps * np.maximum(np.abs(achieved), np.abs(desired))
    assert (np.abs(nearer - desired) <= width).all()
    assert (np.abs(farther - desired) <= width).all()
    moved = gap > 2 * width
    assert (less[moved] < gap[moved]).all()
    assert (more[moved] > gap[moved]).all()


def test_whole_numbers_have_no_other_side() -> None:
    achieved, desired = np.array([[1, 2]]), np.array([[3, 2]])
    for side in either_side(achieved, desired):
        assert side.dtype == desired.dtype
        np.testing.assert_array_equal(side, desired)
