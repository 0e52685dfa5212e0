"""Our native envs as their tests make them: every task in two sizes, alone and as lanes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

import her_exp.envs  # noqa: F401  (registers the ids)
from tests.equality import differences

POINT, NAV, BITS = "her_exp/PointReach-v0", "her_exp/Nav2D-v0", "her_exp/BitFlip-v0"
#: Every task, in its own size and in one so small that episodes end often.
CASES = [
    pytest.param(POINT, {}, id="point"),
    pytest.param(POINT, {"max_steps": 3, "distance_threshold": 0.7}, id="point-short"),
    pytest.param(NAV, {}, id="nav"),
    pytest.param(NAV, {"max_steps": 1}, id="nav-one-step"),
    pytest.param(NAV, {"size": 1, "goal_low": 0.2, "goal_high": 0.9}, id="nav-small"),
    pytest.param(BITS, {}, id="bits"),
    pytest.param(BITS, {"n_bits": 2}, id="bits-few"),
    pytest.param(BITS, {"n_bits": 3, "continuous": True}, id="bits-continuous"),
]
cases = pytest.mark.parametrize(("id", "kwargs"), CASES)


def single(id: str, **kwargs: Any) -> Any:
    return gym.make(id, **kwargs).unwrapped


def native(id: str, n: int, **kwargs: Any) -> Any:
    return gym.make_vec(id, num_envs=n, vectorization_mode="vector_entry_point", **kwargs)


def assert_same(one: Any, other: Any) -> None:
    assert differences(one, other) == []
