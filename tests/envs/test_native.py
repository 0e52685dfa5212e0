"""Our native envs: Gymnasium's own checks, the arguments and actions that they refuse, their pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.envs.native import BITS, NAV, POINT, assert_same, cases, native, single


@cases
def test_gymnasium_check_env(id: str, kwargs: dict[str, Any]) -> None:
    if kwargs.get("max_steps") == 1:
        pytest.skip("check_env takes a truncation after one step for a fault")
    check_env(single(id, render_mode="rgb_array", **kwargs))


@pytest.mark.parametrize(
    ("id", "kwargs", "words"),
    [
        (POINT, {"n": 0}, "num_envs=0"),
        (POINT, {"max_steps": 0}, "max_steps=0: must be a whole number >= 1"),
        (POINT, {"distance_threshold": math.nan}, "distance_threshold=nan: must be a number > 0"),
        (NAV, {"goal_low": 4.5}, "goal_low=4.5: must be >= 0 and < goal_high=4.5"),
        (NAV, {"goal_high": 6.0}, "goal_high=6.0: must be <= size=5.0"),
        (BITS, {"n_bits": 10**9}, "n_bits=1000000000: must be at most 1000000"),
        (BITS, {"continuous": 2}, "continuous=2: must be true or false"),
        (BITS, {"render_mode": "ansi"}, "render_mode='ansi': must be 'rgb_array' or None"),
    ],
)
def test_wrong_arguments_are_named(id: str, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"^" + words):
        native(id, **{"n": 2} | kwargs)


@pytest.mark.parametrize(
    ("id", "actions", "words"),
    [
        (POINT, np.zeros((2, 3)), r"shape \(2, 3\), expected \(2, 2\)"),
        (POINT, np.zeros(2), "shape"),
        (BITS, np.zeros((2, 1), int), r"expected \(2,\)"),
        (BITS, np.zeros(2), "whole numbers"),
        (BITS, np.array([0, 15]), r"\[0, 15\)"),
        (BITS, np.array([-1, 0]), r"\[0, 15\)"),
    ],
)
def test_wrong_actions(id: str, actions: np.ndarray, words: str) -> None:
    env = native(id, 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        env.step(actions)


@cases
def test_pictures(id: str, kwargs: dict[str, Any]) -> None:
    env = native(id, 2, render_mode="rgb_array", **kwargs)
    one = single(id, render_mode="rgb_array", **kwargs)
    env.reset(seed=0)
    one.reset(seed=0)
    before = env.render()
    for frame in before:
        assert (frame.shape, frame.dtype) == ((400, 400, 3), np.uint8)
        assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 20
        assert frame.mean() > 200  # a light theme
    actions = env.action_space.sample()
    assert_same(before[0], one.render())
    env.step(actions)
    one.step(actions[0])
    assert_same(env.render()[0], one.render())
    assert (before[0] != before[1]).any()
    assert (before[0] != one.render()).any()
