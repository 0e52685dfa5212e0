"""Envs that judge in float64 what they show in float32: at a threshold the two may differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.buffers.one_lane import Distance, OneLane

#: Threshold, a place, and the goal in the env: as float32 it lies on the other side of the threshold.
CROSSED = [
    (0.3, 0.10495830327272415, 0.40495830327272414),
    (0.3, 0.2910884916782379, 0.591088491678238),
    (0.7, 0.2377185970544815, 0.9377185980544814),
    (0.3, -0.2910884916782379, -0.591088491678238),
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
    functions = Distance(near, ends=0.0 if ends else np.nan)
    lane = OneLane(functions, [goal])
    assert functions.reward([start], [goal], {}) != functions.reward(
        [start], [np.float32(goal)], {}
    )
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
        (Distance(0.0), [0.0, 1.0], [0.0, 1.0], -1.0, False),
        (Distance(0.0), [0.25, 1e-3], [0.25, 1e-3], -1.0, False),  # met, with any digits
        (Distance(1.0, strictly=True), [3.0], [2.0], 0.0, False),  # a coin of 1, beside the goal
        (Distance(1.0, ends=0.0, strictly=True), [3.0], [2.0], -1.0, True),  # a pit there
        # The same on tenths, thirds, half cells, and places that a sum of float32 tenths has drifted to.
        (Distance(0.1), [0.4, 0.7], [0.3, 0.7], -1.0, False),
        (Distance(1 / 3), [4 / 3], [5 / 3], 0.0, False),
        (Distance(0.2), [0.35], [0.15], -1.0, False),
        (Distance(0.3), [0.591088491678238], [0.291188491678238], -1.0, False),  # by 1e-4 within
        (Distance(np.pi / 8), [np.pi / 4, 0.0], [np.pi / 8, 0.0], -1.0, False),
        (Distance(0.1), [float(np.cumsum(np.full(7, 0.1, np.float32))[-1])], [0.8], -1.0, False),
    ],
)
def test_on_a_lattice_or_beside_the_threshold_nothing_was_rounded(
    functions: Distance, goal: list[float], place: list[float], reward: float, ended: bool
) -> None:
    """What an env pays and ends there beside the goal stays, at a threshold too."""
    lane = OneLane(functions, goal)
    lane.add(*place, reward=reward, terminated=ended)
    extra = reward - functions.reward(*np.array([[place], [goal]], np.float32), {})[0]
    (batch,) = lane.buffer.sample(64)
    sides, drawn = (batch.next_observation, batch.goal), lane.buffer.last.relabelled[0]
    assert 20 < drawn.sum() < 64
    assert (batch.reward.numpy() == functions.reward(*sides, {}) + extra)[drawn].all()
    over = functions.terminated(*sides, {}) | ended
    assert (batch.terminated.numpy() == over)[drawn].all()
