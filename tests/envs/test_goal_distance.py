"""The task as a distance: found where it is one, refused where a declared one disagrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.envs.make import GoalTask
from her_exp.types import UserError
from tests.envs.goal_walk import GOALS, RANGE, Costs, Ends, Walk, WithSuccess


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


class TwoPlaces(Walk):
    """Goals of two axes: both places have to be met together."""

    observation_space = spaces.Dict(
        {
            key: spaces.Box(-10.0, 10.0, shape, np.float64)
            for key, shape in (
                ("observation", (2,)),
                ("achieved_goal", (2, 2)),
                ("desired_goal", (2, 2)),
            )
        }
    )
    distance_threshold = Walk.radius

    def _observe(self) -> dict[str, Any]:
        goals = {"achieved_goal": [self.at, self.at], "desired_goal": [self.goal, self.goal]}
        return {"observation": self.at.copy()} | {k: np.array(v) for k, v in goals.items()}

    def step(self, action: Any) -> Any:
        self.at = np.clip(self.at + action, -10, 10)
        seen = self._observe()
        reward = self.compute_reward(seen["achieved_goal"], seen["desired_goal"], {})
        return seen, float(reward), False, False, {}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        gap = np.asarray(achieved - desired)
        assert gap.shape[-2:] == (2, 2), "goals come in the env's own shape"
        return (np.sqrt((gap**2).sum((-2, -1))) <= self.radius) - 1.0


def test_a_distance_of_goals_of_two_axes() -> None:
    functions = EnvGoalFunctions(TwoPlaces(), reward_range=RANGE)
    goals = np.random.default_rng(1).uniform(-0.3, 0.3, (2, 400, 2, 2))
    assert functions.distance is not None
    reward, _ = functions.distance(*torch.from_numpy(goals.reshape(2, 400, 4)))
    assert 20 < (reward == 0).sum() < 380
    np.testing.assert_array_equal(reward.numpy(), functions.reward(*goals, {}))


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
