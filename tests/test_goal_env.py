"""Reward, termination and success as the env itself defines them, on batches of goals."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from her_exp.envs.goal_env import EnvGoalFunctions
from her_exp.envs.make import GoalTask
from her_exp.types import UserError


class Walk(gym.Env[Any, Any]):
    """A step in any direction on a plane; the goal is met within 0.3. Nothing but a reward."""

    observation_space = spaces.Dict(
        {
            key: spaces.Box(-10.0, 10.0, (2,), np.float64)
            for key in ("observation", "achieved_goal", "desired_goal")
        }
    )
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    radius = 0.3

    def _observe(self) -> dict[str, Any]:
        return {
            "observation": self.at.copy(),
            "achieved_goal": self.at.copy(),
            "desired_goal": self.goal.copy(),
        }

    def about(self) -> dict[str, Any]:
        return {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1, 1, (2, 2))
        return self._observe(), self.about()

    def step(self, action: Any) -> Any:
        self.at = np.clip(self.at + action, -10, 10)
        info = self.about()
        reward = np.asarray(self.compute_reward(self.at, self.goal, info)).item()
        return self._observe(), float(reward), False, False, info

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return (np.linalg.norm(achieved - desired, axis=-1) <= self.radius) - 1.0


class WithSuccess(Walk):
    def compute_success(self, achieved: Any, desired: Any) -> Any:
        return np.linalg.norm(achieved - desired, axis=-1) <= self.radius


class Ends(WithSuccess):
    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, desired)


GOALS = np.random.default_rng(1).uniform(-1, 1, (2, 400, 2))
NEAR = np.linalg.norm(GOALS[0] - GOALS[1], axis=-1) <= Walk.radius
RANGE = (-1.0, 0.0)


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
    assert not functions.reward.batched
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


class Costs(WithSuccess):
    """The reward reads a field of info."""

    def about(self) -> dict[str, Any]:
        return {"cost": 2.0 * self.at[0], "speed": np.abs(self.at)}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) - info["cost"]


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
    assert functions.reward.batched
    np.testing.assert_allclose(functions.reward(*GOALS, info), expected)

    class Slow(TwoFields):
        def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
            return float(super().compute_reward(achieved, desired, info))

    slow = EnvGoalFunctions(Slow(), info_keys=["cost", "speed"])
    assert not slow.reward.batched
    np.testing.assert_allclose(slow.reward(*GOALS, info), expected)


# --- success and termination -------------------------------------------------------------------


class SaysSuccess(Walk):
    """Success in the step's info; the value shows which key was read."""

    key = "is_success"

    def about(self) -> dict[str, Any]:
        return {self.key: False}


class SaysPlainSuccess(SaysSuccess):
    key = "success"


class SaysBoth(SaysSuccess):
    def about(self) -> dict[str, Any]:
        return {"success": False, "is_success": False}


class HasAll(SaysBoth, WithSuccess):
    pass


ALWAYS, NEVER = np.ones(400, bool), np.zeros(400, bool)


@pytest.mark.parametrize(
    ("env", "source", "expected"),
    [
        (HasAll, "compute_success", NEAR),
        (SaysBoth, "info['is_success']", ALWAYS),
        (SaysSuccess, "info['is_success']", ALWAYS),
        (SaysPlainSuccess, "info['success']", NEVER),
        (Walk, "reward 0", NEAR),
    ],
)
def test_where_success_comes_from(env: type[Walk], source: str, expected: Any) -> None:
    functions = EnvGoalFunctions(env(), reward_range=RANGE)
    assert any(line.startswith(f"success: {source}") for line in functions.sources)
    info = {"is_success": ALWAYS, "success": NEVER}
    np.testing.assert_array_equal(functions.success(*GOALS, info), expected)


def test_success_must_come_from_somewhere() -> None:
    with pytest.raises(UserError, match=r"^env\.reward_range: "):
        EnvGoalFunctions(Walk())


def test_an_info_field_may_be_absent_from_a_step() -> None:
    unknown = EnvGoalFunctions(SaysSuccess())
    np.testing.assert_array_equal(unknown.success(*GOALS, {}), NEVER)  # after reset, often
    # Where the highest reward is declared it tells, so that goals met at reset are seen.
    declared = EnvGoalFunctions(SaysSuccess(), reward_range=RANGE)
    expected = declared.reward(*GOALS, {}) == RANGE[1]
    assert expected.any()
    np.testing.assert_array_equal(declared.success(*GOALS, {}), expected)


@pytest.mark.parametrize("declared", [None, False, True])
def test_the_envs_own_termination_wins_over_what_is_declared(declared: bool | None) -> None:
    class Crosses(WithSuccess):
        def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
            return achieved[..., 0] > desired[..., 0]

    functions = EnvGoalFunctions(Crosses(), success_terminates=declared)
    np.testing.assert_array_equal(functions.terminated(*GOALS, {}), GOALS[0][:, 0] > GOALS[1][:, 0])
    assert "termination: compute_terminated" in functions.sources
    for _ in range(5):  # what the env can be asked is not guessed at
        functions.watch(ALWAYS, NEVER)
        functions.watch(ALWAYS, ALWAYS)


@pytest.mark.parametrize("env", [WithSuccess, Walk])
def test_declared_termination(env: type[Walk]) -> None:
    ends = EnvGoalFunctions(env(), reward_range=RANGE, success_terminates=True)
    np.testing.assert_array_equal(ends.terminated(*GOALS, {}), NEAR)
    for declared in (False, None):
        goes_on = EnvGoalFunctions(env(), reward_range=RANGE, success_terminates=declared)
        np.testing.assert_array_equal(goes_on.terminated(*GOALS, {}), NEVER)
        assert any("no goal ends an episode" in line for line in goes_on.sources)


def test_declared_termination_needs_to_know_success() -> None:
    with pytest.raises(UserError, match=r"env\.success_terminates=true: .*compute_success"):
        EnvGoalFunctions(SaysSuccess(), success_terminates=True)


YES, NO = np.array([True]), np.array([False])


def test_declared_ends_are_contradicted_by_an_episode_that_goes_on() -> None:
    functions = EnvGoalFunctions(WithSuccess(), success_terminates=True)
    functions.watch(YES, YES)
    functions.watch(NO, NO)
    functions.watch(NO, YES)  # a crash, which says nothing of success
    with pytest.raises(UserError, match=r"env\.success_terminates=true, but"):
        functions.watch(YES, NO)


@pytest.mark.parametrize("declared", [None, False])
def test_undeclared_ends_are_found_after_three(declared: bool | None) -> None:
    functions = EnvGoalFunctions(WithSuccess(), success_terminates=declared)
    functions.watch(NO, YES)
    functions.watch(YES, YES)
    functions.watch(YES, YES)
    with pytest.raises(UserError, match=r"set env\.success_terminates=true"):
        functions.watch(YES, YES)


def test_an_env_that_goes_on_after_success_may_end_at_it_sometimes() -> None:
    functions = EnvGoalFunctions(WithSuccess())
    functions.watch(YES, NO)
    for _ in range(5):
        functions.watch(YES, YES)


# --- the task as a distance --------------------------------------------------------------------


class Threshold(WithSuccess):
    distance_threshold = Walk.radius


class EndsWithin(Ends):
    distance_threshold = Walk.radius


class Paid(Threshold):
    """Other rewards than -1 and 0."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return 3.0 * super().compute_reward(achieved, desired, info) + 5.0


class Dense(Threshold):
    """Has a threshold, and a reward that is not its step function."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -np.linalg.norm(achieved - desired, axis=-1)


class Manhattan(Threshold):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return (np.abs(achieved - desired).sum(-1) <= self.radius) - 1.0


class Sided(Threshold):
    """Ends at success on one half of the plane only."""

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, desired) & (achieved[..., 0] > 0)


class LiesAboutThreshold(WithSuccess):
    distance_threshold = 0.29


def agree(functions: EnvGoalFunctions, achieved: Any, desired: Any) -> None:
    assert functions.distance is not None
    reward, terminated = functions.distance(torch.from_numpy(achieved), torch.from_numpy(desired))
    np.testing.assert_allclose(reward.numpy(), functions.reward(achieved, desired, {}))
    np.testing.assert_array_equal(
        terminated.numpy() > 0, functions.terminated(achieved, desired, {})
    )


@pytest.mark.parametrize("env", [Threshold, EndsWithin, Paid])
def test_a_distance_is_found(env: type[Walk]) -> None:
    functions = EnvGoalFunctions(env(), reward_range=RANGE)
    agree(functions, *GOALS)
    assert any(line.startswith("reward: distance within 0.3") for line in functions.sources)


@pytest.mark.parametrize("id", ["her_exp/PointReach-v0", "her_exp/Nav2D-v0"])
def test_our_tasks_are_distances(id: str) -> None:
    functions = GoalTask(id, distance_threshold=0.25).goal_functions()
    rng = np.random.default_rng(0)
    goals = rng.uniform(0, 1, (2, 500, 2)).astype(np.float32)
    agree(functions, *goals)
    assert 20 < functions.success(*goals, {}).sum() < 480


@pytest.mark.parametrize("env", [Dense, Manhattan, Sided, LiesAboutThreshold, WithSuccess])
def test_what_is_no_distance_is_asked_of_the_env(env: type[Walk]) -> None:
    functions = EnvGoalFunctions(env())
    assert functions.distance is None
    assert not any("tensors" in line for line in functions.sources)


def test_declared_distance() -> None:
    functions = EnvGoalFunctions(WithSuccess(), goal_distance=0.3)
    agree(functions, *GOALS)
    ends = EnvGoalFunctions(WithSuccess(), goal_distance=0.3, success_terminates=True)
    agree(ends, *GOALS)
    assert ends.distance is not None
    assert ends.distance.terminates


@pytest.mark.parametrize(
    ("env", "declared"),
    [(WithSuccess, 0.31), (WithSuccess, 0.29), (Dense, 0.3), (Manhattan, 0.3), (Sided, 0.3)],
)
def test_a_declared_distance_that_disagrees_is_refused(env: type[Walk], declared: float) -> None:
    with pytest.raises(UserError, match=rf"^env\.goal_distance={declared:g}: "):
        EnvGoalFunctions(env(), goal_distance=declared)


def test_a_reward_of_info_is_no_distance() -> None:
    class Both(Costs):
        distance_threshold = Walk.radius

    assert EnvGoalFunctions(Both(), info_keys=["cost"]).distance is None


def test_a_declared_distance_is_not_passed_over_where_the_reward_reads_info() -> None:
    with pytest.raises(UserError, match=r"^env\.goal_distance=0\.3"):
        EnvGoalFunctions(Costs(), goal_distance=0.3, info_keys=["cost"])
