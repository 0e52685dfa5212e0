"""Our native envs before Gymnasium's own checks, and the arguments and actions that they refuse."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from tests.envs.native import BITS, NAV, POINT, cases, native


@cases
def test_gymnasium_check_env(id: str, kwargs: dict[str, Any]) -> None:
    if kwargs.get("max_steps") == 1:
        pytest.skip("check_env takes a truncation after one step for a fault")
    env = gym.make(id, render_mode="rgb_array", **kwargs)
    check_env(env.unwrapped)
    # Under the wrappers of gym.make too, whose passive checker looks at every first call.
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.render().shape == (400, 400, 3)


@pytest.mark.parametrize("id", [POINT, NAV, BITS])
def test_every_way_to_make(id: str) -> None:
    for mode in ("vector_entry_point", "sync", None):
        env = gym.make_vec(id, num_envs=8, vectorization_mode=mode)
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
        assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        result = env.step(env.action_space.sample())
        assert result[0] in env.observation_space
        env.close()
    env = gym.make(id)
    for name in ("compute_reward", "compute_terminated", "compute_success", "max_steps"):
        assert env.has_wrapper_attr(name)
    assert env.has_wrapper_attr("distance_threshold") == (id != BITS)


@pytest.mark.heavy
def test_registration_is_idempotent_and_free_of_torch() -> None:
    program = (
        "import importlib, sys, warnings; warnings.simplefilter('error'); import her_exp.envs;"
        "importlib.reload(her_exp.envs); import gymnasium;"
        "env = gymnasium.make('her_exp/PointReach-v0'); env.reset(seed=0);"
        "assert 'torch' not in sys.modules and 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("id", "kwargs", "words"),
    [
        (POINT, {"n": 0}, "num_envs=0"),
        (POINT, {"max_steps": 0}, "max_steps=0: must be a whole number >= 1"),
        (POINT, {"max_speed": math.inf}, "max_speed=inf: must be a number > 0"),
        (POINT, {"distance_threshold": math.nan}, "distance_threshold=nan: must be a number > 0"),
        (POINT, {"action_scale": "fast"}, "action_scale='fast': must be a number > 0"),
        (NAV, {"goal_low": 4.5}, "goal_low=4.5: must be >= 0 and < goal_high=4.5"),
        (NAV, {"goal_high": 6.0}, "goal_high=6.0: must be <= size=5.0"),
        (BITS, {"n_bits": 0}, "n_bits=0: must be a whole number >= 1"),
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
