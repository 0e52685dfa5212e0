"""Rewards as the env itself defines them, on batches of goals or row by row, with the info they read."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.types import UserError
from tests.envs.goal_walk import GOALS, NEAR, RANGE, Costs, Ends, Walk, WithSuccess


def test_the_sampled_goals_are_met_and_missed() -> None:
    assert 10 < NEAR.sum() < 390


# --- batched or row by row ---------------------------------------------------------------------


def test_batched_functions_are_called_once(caplog: pytest.LogCaptureFixture) -> None:
    class Counts(Ends):
        calls = 0

        def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
            Counts.calls += 1
            return super().compute_reward(achieved, desired, info)

    functions = EnvGoalFunctions(Counts())
    Counts.calls = 0
    np.testing.assert_array_equal(functions.reward(*GOALS, {}), NEAR - 1.0)
    assert Counts.calls == 1
    np.testing.assert_array_equal(functions.success(*GOALS, {}), NEAR)
    np.testing.assert_array_equal(functions.terminated(*GOALS, {}), NEAR)
    assert functions.reward(*GOALS, {}).dtype == np.float64
    assert functions.terminated(*GOALS, {}).dtype == np.bool_
    assert not caplog.records


class OneByOne(Walk):
    """As many envs are written: for one goal at a time."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return 0.0 if float(np.linalg.norm(achieved - desired)) <= self.radius else -1.0


class Python(Walk):
    """A batch is an error of its own here."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        (a, b), (c, d) = achieved, desired
        return [-1.0, 0.0][float(((a - c) ** 2 + (b - d) ** 2) ** 0.5) <= self.radius]


class Column(Walk):
    """Answers (b, 1) for a batch."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        gap = np.linalg.norm(achieved - desired, axis=-1, keepdims=True)
        return (gap <= self.radius) - 1.0


class Shifted(Walk):
    """Has the right shape for a batch and the wrong numbers."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        reward = super().compute_reward(achieved, desired, info)
        return reward if np.ndim(reward) == 0 else np.roll(reward, 1)


@pytest.mark.parametrize("env", [OneByOne, Python, Column, Shifted])
def test_what_is_not_batched_is_called_row_by_row_with_a_warning(
    env: type[Walk], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        functions = EnvGoalFunctions(env(), reward_range=RANGE)
    assert "compute_reward" in functions.row_by_row
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "compute_reward of this env is not batched" in caplog.text
    np.testing.assert_array_equal(functions.reward(*GOALS, {}), NEAR - 1.0)
    np.testing.assert_array_equal(functions.success(*GOALS, {}), NEAR)


def test_a_constant_answer_holds_for_every_row() -> None:
    class Never(WithSuccess):  # as Gymnasium-Robotics' Fetch envs answer
        def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
            return False

    functions = EnvGoalFunctions(Never())
    answer = functions.terminated(*GOALS, {})
    assert answer.dtype == np.bool_
    assert answer.shape == (400,)
    assert not answer.any()


def test_functions_lie_under_wrappers() -> None:
    wrapped = gym.wrappers.TimeLimit(Ends(), 20)
    functions = EnvGoalFunctions(wrapped)
    np.testing.assert_array_equal(functions.terminated(*GOALS, {}), NEAR)
    np.testing.assert_array_equal(functions.reward(*GOALS, {}), NEAR - 1.0)


class Bare(gym.Env[Any, Any]):
    """Has goals and no reward of them."""

    observation_space, action_space = Walk.observation_space, Walk.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return {key: np.zeros(2) for key in self.observation_space}, {}

    def step(self, action: Any) -> Any:
        return *self.reset()[:1], 0.0, False, False, {}


def test_an_env_without_a_reward_is_refused() -> None:
    with pytest.raises(UserError, match="no compute_reward"):
        EnvGoalFunctions(Bare())


# --- info --------------------------------------------------------------------------------------


class TwoFields(Costs):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) - info["speed"][..., 0]


def test_a_reward_that_reads_info_names_the_key_to_declare() -> None:
    with pytest.raises(UserError, match=r"buffer\.info_keys=\[cost\]"):
        EnvGoalFunctions(Costs())
    with pytest.raises(UserError, match=r"buffer\.info_keys=\[cost,speed\]"):
        EnvGoalFunctions(TwoFields(), info_keys=["cost"])


def test_declared_info_is_read_for_each_row() -> None:
    functions = EnvGoalFunctions(TwoFields(), info_keys=["cost", "speed"])
    rng = np.random.default_rng(0)
    info = {"cost": rng.normal(size=400), "speed": rng.normal(size=(400, 2))}
    expected = NEAR - 1.0 - info["cost"] - info["speed"][:, 0]
    assert "compute_reward" not in functions.row_by_row
    np.testing.assert_allclose(functions.reward(*GOALS, info), expected)

    class Slow(TwoFields):
        def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
            return float(super().compute_reward(achieved, desired, info))

    slow = EnvGoalFunctions(Slow(), info_keys=["cost", "speed"])
    assert "compute_reward" in slow.row_by_row
    np.testing.assert_allclose(slow.reward(*GOALS, info), expected)
