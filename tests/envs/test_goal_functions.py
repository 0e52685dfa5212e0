"""Rewards as the env itself defines them, on batches of goals or row by row, with the info they read."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.types import UserError
from tests.envs.goal_walk import ENDS, GOALS, NEAR, RANGE, SUCCESS, Bare, Costs, Walk


def test_batched_functions_are_called_once_under_wrappers_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def counted(walk: Walk, achieved: Any, desired: Any, info: Any) -> Any:
        calls.append(len(achieved))
        return walk.met(achieved, desired) - 1.0

    env = gym.wrappers.TimeLimit(Walk(**ENDS, compute_reward=counted), 20)
    functions = EnvGoalFunctions(env)
    calls.clear()
    reward, terminated = (f(*GOALS, {}) for f in (functions.reward, functions.terminated))
    assert calls == [400]
    assert (reward.dtype, terminated.dtype) == (np.float64, np.bool_)
    np.testing.assert_array_equal(reward, NEAR - 1.0)
    np.testing.assert_array_equal(terminated, NEAR)
    np.testing.assert_array_equal(functions.success(*GOALS, {}), NEAR)
    assert not caplog.records


def one_by_one(walk: Walk, achieved: Any, desired: Any, info: Any) -> Any:
    """As many envs are written: for one goal at a time."""
    return 0.0 if float(np.linalg.norm(achieved - desired)) <= walk.radius else -1.0


def plain(walk: Walk, achieved: Any, desired: Any, info: Any) -> Any:
    """A batch is an error of its own here."""
    (a, b), (c, d) = achieved, desired
    return [-1.0, 0.0][float(((a - c) ** 2 + (b - d) ** 2) ** 0.5) <= walk.radius]


def column(walk: Walk, achieved: Any, desired: Any, info: Any) -> Any:
    """Answers (b, 1) for a batch."""
    return walk.met(achieved, desired)[..., None] - 1.0


def shifted(walk: Walk, achieved: Any, desired: Any, info: Any) -> Any:
    """Has the right shape for a batch and the wrong numbers."""
    reward = walk.met(achieved, desired) - 1.0
    return reward if np.ndim(reward) == 0 else np.roll(reward, 1)


@pytest.mark.parametrize("compute_reward", [one_by_one, plain, column, shifted])
def test_what_is_not_batched_is_called_row_by_row_with_a_warning(
    compute_reward: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        functions = EnvGoalFunctions(Walk(compute_reward=compute_reward), reward_range=RANGE)
    assert "compute_reward" in functions.row_by_row
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "compute_reward of this env is not batched" in caplog.text
    np.testing.assert_array_equal(functions.reward(*GOALS, {}), NEAR - 1.0)
    np.testing.assert_array_equal(functions.success(*GOALS, {}), NEAR)


def test_a_constant_answer_holds_for_every_row() -> None:
    """As Gymnasium-Robotics' Fetch envs answer."""
    never = Walk(**SUCCESS, compute_terminated=lambda *_: False)
    answer = EnvGoalFunctions(never).terminated(*GOALS, {})
    assert answer.dtype == np.bool_
    assert answer.tolist() == [False] * 400


def test_an_env_without_a_reward_is_refused() -> None:
    with pytest.raises(UserError, match="no compute_reward"):
        EnvGoalFunctions(Bare())


class TwoFields(Costs):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) - info["speed"][..., 0]


def test_a_reward_that_reads_info_names_the_key_to_declare() -> None:
    with pytest.raises(UserError, match=r"buffer\.info_keys=\[cost\]"):
        EnvGoalFunctions(Costs())
    with pytest.raises(UserError, match=r"buffer\.info_keys=\[cost,speed\]"):
        EnvGoalFunctions(TwoFields(), info_keys=["cost"])


@pytest.mark.parametrize("batched", [True, False])
def test_declared_info_is_read_for_each_row(batched: bool) -> None:
    slow = lambda walk, *about: float(TwoFields.compute_reward(walk, *about))  # noqa: E731
    env = TwoFields(compute_reward=None if batched else slow)
    functions = EnvGoalFunctions(env, info_keys=["cost", "speed"])
    assert ("compute_reward" not in functions.row_by_row) == batched
    rng = np.random.default_rng(0)
    info = {"cost": rng.normal(size=400), "speed": rng.normal(size=(400, 2))}
    expected = NEAR - 1.0 - info["cost"] - info["speed"][:, 0]
    np.testing.assert_allclose(functions.reward(*GOALS, info), expected)
