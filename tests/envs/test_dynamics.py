"""Dynamics of our envs against plain Python, and properties of their goal functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.envs.native import BITS, NAV, POINT, native, single

# Dynamics, against plain Python.


def clip(x: float, low: float, high: float) -> float:
    return low if x < low else high if x > high else x


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_point_reach_against_plain_python(scale: float) -> None:
    settings_ = {"dt": 0.1, "goal_range": 0.8, "max_speed": 0.7, "action_scale": 6.0}
    env = single(POINT, max_steps=40, distance_threshold=0.2, **settings_)
    generator = np.random.default_rng(0)
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        x, y, vx, vy = (float(value) for value in observation["observation"])
        assert (vx, vy) == (0.0, 0.0)
        gx, gy = (float(value) for value in observation["desired_goal"])
        assert info == {"is_success": math.hypot(x - gx, y - gy) <= 0.2}
        for t in range(1, 41):
            action = generator.normal(size=2) * scale
            ax, ay = (clip(float(a), -1, 1) for a in action)
            vx = clip(vx + 6.0 * ax * 0.1, -0.7, 0.7)
            vy = clip(vy + 6.0 * ay * 0.1, -0.7, 0.7)
            x, y = clip(x + vx * 0.1, -0.8, 0.8), clip(y + vy * 0.1, -0.8, 0.8)
            observation, reward, terminated, truncated, info = env.step(action)
            np.testing.assert_allclose(observation["observation"], [x, y, vx, vy], atol=1e-5)
            np.testing.assert_allclose(observation["achieved_goal"], [x, y], atol=1e-5)
            near = math.dist(observation["achieved_goal"].tolist(), (gx, gy)) <= 0.2
            assert reward == (0.0 if near else -1.0)
            assert info == {"is_success": near}
            assert terminated is False
            assert truncated is (t == 40)


def test_nav2d_against_plain_python() -> None:
    env = single(NAV, max_steps=30, distance_threshold=0.5)
    generator = np.random.default_rng(1)
    lengths = set()
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(observation["observation"], [0, 0])
        x = y = 0.0
        gx, gy = (float(value) for value in observation["desired_goal"])
        assert 3.5 <= gx <= 4.5
        assert 3.5 <= gy <= 4.5
        for t in range(1, 31):
            action = [0.7 * (gx - x), 0.7 * (gy - y)] + 1.5 * generator.normal(size=2)
            x = clip(x + clip(float(action[0]), -1, 1), 0, 5)
            y = clip(y + clip(float(action[1]), -1, 1), 0, 5)
            observation, reward, terminated, truncated, _info = env.step(action)
            np.testing.assert_allclose(observation["observation"], [x, y], atol=1e-5)
            near = math.dist(observation["achieved_goal"].tolist(), (gx, gy)) <= 0.5
            assert (reward, terminated) == (0.0 if near else -1.0, near)
            assert truncated is (t == 30)
            if terminated:
                lengths.add(t)
                break
    assert len(lengths) > 2


@pytest.mark.parametrize("continuous", [False, True])
def test_bit_flip_against_plain_python(continuous: bool) -> None:
    env = single(BITS, n_bits=4, continuous=continuous)
    env.action_space.seed(0)
    ended = cut = 0
    for seed in range(40):
        observation, _ = env.reset(seed=seed)
        bits, goal = observation["observation"].tolist(), observation["desired_goal"].tolist()
        for t in range(1, 5):
            action = env.action_space.sample()
            flips = [i for i in range(4) if (action[i] > 0 if continuous else i == action)]
            bits = [1 - bit if i in flips else bit for i, bit in enumerate(bits)]
            observation, reward, terminated, truncated, _ = env.step(action)
            assert observation["achieved_goal"].tolist() == bits
            assert observation["observation"].tolist() == bits
            assert observation["observation"].dtype == np.int8
            assert (reward, terminated) == ((0.0, True) if bits == goal else (-1.0, False))
            assert truncated is (t == 4)
            ended, cut = ended + terminated, cut + truncated
            if terminated:
                break
    assert ended
    assert cut


def test_a_start_on_the_goal_ends_nothing() -> None:
    env = native(BITS, 64, n_bits=2)
    _, info = env.reset(seed=0)
    assert info["is_success"].any()
    observation, reward, terminated, _, _ = env.step(np.zeros(64, np.int64))
    assert not terminated[info["is_success"]].any()
    assert (reward[info["is_success"]] == -1.0).all()
    assert observation in env.observation_space


def test_starts_and_goals_are_uniform_and_apart() -> None:
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


# Properties of the goal functions.

goals = st.integers(1, 6).flatmap(
    lambda n: arrays(np.float32, (2, n, 2), elements=st.floats(-1, 1, width=32))
)


@settings(max_examples=60, deadline=None)
@given(goals)
def test_batched_equals_scalar(pair: np.ndarray) -> None:
    for id in (POINT, NAV):
        env = single(id, distance_threshold=0.5)
        achieved, desired = pair
        check_functions(env, achieved, desired)
        distance = np.linalg.norm(achieved.astype(float) - desired.astype(float), axis=-1)
        clear = abs(distance - 0.5) > 1e-6
        success = env.compute_success(achieved, desired)
        np.testing.assert_array_equal(success[clear], distance[clear] <= 0.5)
        terminated = env.compute_terminated(achieved, desired, {})
        np.testing.assert_array_equal(terminated, success & (id == NAV))


@settings(max_examples=40, deadline=None)
@given(arrays(np.int8, (2, 5, 3), elements=st.integers(0, 1)))
def test_batched_equals_scalar_for_bits(pair: np.ndarray) -> None:
    check_functions(single(BITS, n_bits=3), *pair)


def check_functions(env: Any, achieved: np.ndarray, desired: np.ndarray) -> None:
    for name, dtype in (
        ("compute_reward", np.float64),
        ("compute_terminated", np.bool_),
        ("compute_truncated", np.bool_),
        ("compute_success", np.bool_),
    ):
        function = getattr(env, name)
        info = () if name == "compute_success" else ({},)
        batch = function(achieved, desired, *info)
        assert batch.shape == (len(achieved),)
        assert batch.dtype == dtype
        for row in range(len(achieved)):
            one = function(achieved[row], desired[row], *info)
            assert isinstance(one, float if name == "compute_reward" else bool)
            assert one == batch[row]
        lead = function(achieved[None], desired[None], *info)  # any leading shape
        np.testing.assert_array_equal(lead, batch[None])
        assert not (name == "compute_truncated" and batch.any())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    goal_range=st.floats(0.01, 100),
    max_speed=st.floats(0.01, 100),
    scale=st.floats(0.01, 1000),
    extent=st.floats(0, 1e6),
)
def test_bounds_are_kept_and_rewards_agree(
    seed: int, goal_range: float, max_speed: float, scale: float, extent: float
) -> None:
    kwargs = {"goal_range": goal_range, "max_speed": max_speed, "action_scale": scale}
    point = native(POINT, 3, max_steps=5, distance_threshold=goal_range, **kwargs)
    high = goal_range * 0.9
    nav = native(NAV, 3, max_steps=5, size=goal_range, goal_low=high / 3, goal_high=high)
    generator = np.random.default_rng(seed)
    for env in (point, nav):
        observation, _ = env.reset(seed=seed)
        ended = np.zeros(3, bool)
        for _ in range(8):
            assert observation in env.observation_space
            actions = generator.normal(size=(3, 2)) * extent  # not in the Box: clipped to it
            observation, reward, terminated, truncated, info = env.step(actions)
            goals_ = observation["achieved_goal"], observation["desired_goal"]
            moved = ~ended
            np.testing.assert_array_equal(reward[moved], env.compute_reward(*goals_, {})[moved])
            expected = env.compute_terminated(*goals_, {})
            np.testing.assert_array_equal(terminated[moved], expected[moved])
            np.testing.assert_array_equal(info["is_success"], env.compute_success(*goals_))
            ended = terminated | truncated
