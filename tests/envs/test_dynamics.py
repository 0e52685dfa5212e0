"""Dynamics of our envs against plain Python, their starts and their goals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.envs.native import BITS, NAV, POINT, native, single


def clip(x: float, low: float, high: float) -> float:
    return low if x < low else high if x > high else x


def point_mass(state: list[float], action: Any) -> list[float]:
    pairs = zip(state[2:], action, strict=True)
    speed = [clip(v + 6.0 * clip(a, -1, 1) * 0.1, -0.7, 0.7) for v, a in pairs]
    return [clip(x + v * 0.1, -0.8, 0.8) for x, v in zip(state[:2], speed, strict=True)] + speed


def walk(state: list[float], action: Any) -> list[float]:
    return [clip(x + clip(a, -1, 1), 0, 5) for x, a in zip(state, action, strict=True)]


def flip(state: list[float], action: Any) -> list[float]:
    flips = [i == action for i in range(4)] if np.ndim(action) == 0 else [a > 0 for a in action]
    return [1 - bit if turned else bit for bit, turned in zip(state, flips, strict=True)]


MASS = {"dt": 0.1, "goal_range": 0.8, "max_speed": 0.7, "action_scale": 6.0}
#: Of a task: id, settings, the dynamics, the distance that is near, whether success ends an episode.
BY_HAND = {
    "point": (POINT, {"max_steps": 40, "distance_threshold": 0.2, **MASS}, point_mass, 0.2, False),
    "nav": (NAV, {"max_steps": 7, "distance_threshold": 0.5}, walk, 0.5, True),
    "bits": (BITS, {"n_bits": 4}, flip, 0.0, True),
    "signs": (BITS, {"n_bits": 4, "continuous": True}, flip, 0.0, True),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_dynamics_against_plain_python(name: str) -> None:
    id, kwargs, move, near, ends = BY_HAND[name]
    env, generator = single(id, **kwargs), np.random.default_rng(0)
    env.action_space.seed(0)
    lengths, last = set(), kwargs.get("max_steps", 4)
    for seed in range(40):
        observation, info = env.reset(seed=seed)
        state, goal = (observation[key].tolist() for key in ("observation", "desired_goal"))
        assert info == {"is_success": math.dist(state[: len(goal)], goal) <= near}
        for t in range(1, last + 1):
            action = env.action_space.sample()
            if id != BITS:  # also beyond the Box, and towards the goal
                action = 0.7 * np.subtract(goal, state[:2]) + 1.5 * generator.normal(size=2)
            state = move(state, action)
            observation, reward, terminated, truncated, info = env.step(action)
            assert observation in env.observation_space
            np.testing.assert_allclose(observation["observation"], state, atol=1e-5)
            np.testing.assert_allclose(observation["achieved_goal"], state[: len(goal)], atol=1e-5)
            met = math.dist(observation["achieved_goal"].tolist(), goal) <= near
            assert (reward, info) == (0.0 if met else -1.0, {"is_success": met})
            assert terminated is (ends and met)
            assert truncated is (t == last)
            if terminated:
                break
        lengths.add(t)
    assert (len(lengths) > 2) == ends
    assert last in lengths


def test_starts_and_goals_are_uniform_and_apart() -> None:
    nav, _ = native(NAV, 2000).reset(seed=0)
    assert not nav["observation"].any()
    assert (nav["desired_goal"] >= 3.5).all()
    assert (nav["desired_goal"] <= 4.5).all()
    assert nav["desired_goal"].std(0) == pytest.approx(1 / 12**0.5, abs=0.02)
    observation, _ = native(POINT, 2000, goal_range=2.0).reset(seed=0)
    for key in ("achieved_goal", "desired_goal"):
        for axis in range(2):
            counts, _ = np.histogram(observation[key][:, axis], 8, (-2, 2))
            assert counts.sum() == 2000
            assert abs(counts - 250).max() < 80  # 5 standard deviations
    joint = np.concatenate([observation["achieved_goal"], observation["desired_goal"]], axis=1)
    assert abs(np.corrcoef(joint.T) - np.eye(4)).max() < 0.1
    bits, _ = native(BITS, 2000).reset(seed=0)
    assert abs(bits["achieved_goal"].mean(0) - 0.5).max() < 0.06
    assert abs((bits["achieved_goal"] == bits["desired_goal"]).mean(0) - 0.5).max() < 0.06
