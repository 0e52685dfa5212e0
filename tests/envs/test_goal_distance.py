"""The task as a distance: found where it is one, refused where a declared one disagrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.types import UserError
from tests.envs.goal_walk import ENDS, GOALS, RANGE, SUCCESS, Costs, Walk, goal_space

NAMED = {"distance_threshold": Walk.radius}
#: Has a threshold, and a reward that is not its step function.
DENSE = {"compute_reward": lambda _, a, d, info: -np.linalg.norm(a - d, axis=-1)}
MANHATTAN = {"compute_reward": lambda _, a, d, info: (np.abs(a - d).sum(-1) <= Walk.radius) - 1.0}
#: Ends at success on one half of the plane only.
SIDED = {"compute_terminated": lambda walk, a, d, info: walk.met(a, d) & (a[..., 0] > 0)}


def agree(functions: EnvGoalFunctions, achieved: Any, desired: Any) -> None:
    assert functions.distance is not None
    reward, terminated = functions.distance(torch.from_numpy(achieved), torch.from_numpy(desired))
    np.testing.assert_allclose(reward.numpy(), functions.reward(achieved, desired, {}))
    ends = functions.terminated(achieved, desired, {})
    np.testing.assert_array_equal(terminated.numpy() > 0, ends)


@pytest.mark.parametrize(
    "changed",
    [{}, ENDS, {"compute_reward": lambda walk, a, d, _: 3.0 * walk.met(a, d) + 2.0}],
    ids=["plain", "ends", "paid otherwise"],
)
def test_a_distance_is_found(changed: dict[str, Any]) -> None:
    functions = EnvGoalFunctions(Walk(**NAMED, **SUCCESS | changed), reward_range=RANGE)
    agree(functions, *GOALS)
    assert any(line.startswith("reward: distance within 0.3") for line in functions.sources)


class TwoPlaces(Walk):
    """Goals of two axes: both places have to be met together."""

    observation_space = goal_space(spaces.Box(-10.0, 10.0, (2, 2), np.float64))
    distance_threshold = Walk.radius

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1, 1, (2, 2, 2))
        return self._observe(), {}

    def met(self, achieved: Any, desired: Any) -> Any:
        return np.linalg.norm(achieved - desired, axis=(-2, -1)) <= self.radius


def test_a_distance_of_goals_of_two_axes() -> None:
    functions = EnvGoalFunctions(TwoPlaces(), reward_range=RANGE)
    goals = np.random.default_rng(1).uniform(-0.3, 0.3, (2, 400, 2, 2))
    assert functions.distance is not None
    reward, _ = functions.distance(*torch.from_numpy(goals.reshape(2, 400, 4)))
    assert 20 < (reward == 0).sum() < 380
    np.testing.assert_array_equal(reward.numpy(), functions.reward(*goals, {}))


@pytest.mark.parametrize("ends", [None, True])
def test_a_declared_distance(ends: bool | None) -> None:
    functions = EnvGoalFunctions(Walk(**SUCCESS), goal_distance=0.3, success_terminates=ends)
    agree(functions, *GOALS)
    assert functions.distance is not None
    assert functions.distance.terminates == bool(ends)
    assert EnvGoalFunctions(Walk(**SUCCESS)).distance is None  # no threshold
    assert EnvGoalFunctions(Walk(**SUCCESS, **NAMED), goal_distance=False).distance is None


@pytest.mark.parametrize(
    ("changed", "threshold"), [({}, 0.31), ({}, 0.29), (DENSE, 0.3), (MANHATTAN, 0.3), (SIDED, 0.3)]
)
def test_what_is_no_distance_is_asked_of_the_env(changed: dict[str, Any], threshold: float) -> None:
    """And refused where it is declared."""
    env = Walk(**SUCCESS, **changed, distance_threshold=threshold)
    assert EnvGoalFunctions(env).distance is None
    with pytest.raises(UserError, match=rf"^env\.goal_distance={threshold:g}: "):
        EnvGoalFunctions(env, goal_distance=threshold)


def test_a_reward_of_info_is_no_distance() -> None:
    """Nor is a declared one passed over."""
    assert EnvGoalFunctions(Costs(**NAMED), info_keys=["cost", "speed"]).distance is None
    with pytest.raises(UserError, match=r"^env\.goal_distance=0\.3"):
        EnvGoalFunctions(Costs(), goal_distance=0.3, info_keys=["cost", "speed"])
