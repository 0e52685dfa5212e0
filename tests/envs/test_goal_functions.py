"""Rewards, success and ends as the env itself defines them, on batches of goals or row by row."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.types import UserError
from tests.envs.goal_walk import ENDS, GOALS, NEAR, RANGE, SUCCESS, Bare, Costs, Walk, goal_space


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


def shifted(walk: Walk, achieved: Any, desired: Any, info: Any) -> Any:
    """Has the right shape for a batch and the wrong numbers."""
    reward = walk.met(achieved, desired) - 1.0
    return reward if np.ndim(reward) == 0 else np.roll(reward, 1)


@pytest.mark.parametrize("compute_reward", [one_by_one, plain, shifted])
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


def test_a_reward_that_reads_info_names_the_key_to_declare() -> None:
    with pytest.raises(UserError, match=r"buffer\.info_keys=\[cost\]"):
        EnvGoalFunctions(Costs())
    with pytest.raises(UserError, match=r"buffer\.info_keys=\[cost,speed\]"):
        EnvGoalFunctions(Costs(), info_keys=["cost"])


@pytest.mark.parametrize("batched", [True, False])
def test_declared_info_is_read_for_each_row(batched: bool) -> None:
    slow = lambda walk, *about: float(Costs.compute_reward(walk, *about))  # noqa: E731
    env = Costs(compute_reward=None if batched else slow)
    functions = EnvGoalFunctions(env, info_keys=["cost", "speed"])
    assert ("compute_reward" not in functions.row_by_row) == batched
    rng = np.random.default_rng(0)
    info = {"cost": rng.normal(size=400), "speed": rng.normal(size=(400, 2))}
    expected = NEAR - 1.0 - info["cost"] - info["speed"][:, 0]
    np.testing.assert_allclose(functions.reward(*GOALS, info), expected)


ALWAYS, NEVER = np.ones(400, bool), np.zeros(400, bool)


def says(*keys: str, **changed: Any) -> Walk:
    """A walk that says something of success in the step's info."""
    return Walk(about=lambda walk: dict.fromkeys(keys, False), **changed)


@pytest.mark.parametrize(
    ("env", "source", "expected"),
    [
        (says("success", "is_success", **SUCCESS), "compute_success", NEAR),
        (says("success", "is_success"), "info['is_success']", ALWAYS),
        (says("success"), "info['success']", NEVER),
        (Walk(), "reward 0", NEAR),
    ],
)
def test_where_success_comes_from(env: Walk, source: str, expected: Any) -> None:
    functions = EnvGoalFunctions(env, reward_range=RANGE)
    assert any(line.startswith(f"success: {source}") for line in functions.sources)
    info = {"is_success": ALWAYS, "success": NEVER}
    np.testing.assert_array_equal(functions.success(*GOALS, info), expected)


def test_success_must_come_from_somewhere() -> None:
    with pytest.raises(UserError, match=r"^env\.reward_range: "):
        EnvGoalFunctions(Walk())
    with pytest.raises(UserError, match=r"env\.success_terminates=true: .*compute_success"):
        EnvGoalFunctions(says("is_success"), success_terminates=True)


def test_an_info_field_may_be_absent_from_a_step() -> None:
    """As after many a reset; where the highest reward is declared it tells."""
    unknown = EnvGoalFunctions(says("is_success"))
    np.testing.assert_array_equal(unknown.success(*GOALS, {}), NEVER)
    declared = EnvGoalFunctions(says("is_success"), reward_range=RANGE)
    np.testing.assert_array_equal(declared.success(*GOALS, {}), NEAR)


@pytest.mark.parametrize("declared", [None, False, True])
def test_the_envs_own_termination_wins_over_what_is_declared(declared: bool | None) -> None:
    crosses = Walk(**SUCCESS, compute_terminated=lambda _, a, d, info: a[..., 0] > d[..., 0])
    functions = EnvGoalFunctions(crosses, success_terminates=declared)
    np.testing.assert_array_equal(functions.terminated(*GOALS, {}), GOALS[0][:, 0] > GOALS[1][:, 0])
    assert "termination: compute_terminated" in functions.sources
    for _ in range(5):  # what the env can be asked is not guessed at
        functions.watch(ALWAYS, NEVER)
        functions.watch(ALWAYS, ALWAYS)


@pytest.mark.parametrize("env", [Walk(**SUCCESS), Walk()])
def test_declared_termination(env: Walk) -> None:
    ends = EnvGoalFunctions(env, reward_range=RANGE, success_terminates=True)
    np.testing.assert_array_equal(ends.terminated(*GOALS, {}), NEAR)
    for declared in (False, None):
        goes_on = EnvGoalFunctions(env, reward_range=RANGE, success_terminates=declared)
        np.testing.assert_array_equal(goes_on.terminated(*GOALS, {}), NEVER)
        assert any("no goal ends an episode" in line for line in goes_on.sources)


ENDED, WENT_ON, FELL, MOVED = (True, True), (True, False), (False, True), (False, False)


@pytest.mark.parametrize(
    ("declared", "seen", "refused"),
    [
        # Twice a goal may have been met by rounding; a crash says nothing of success.
        (True, [ENDED, MOVED, FELL, WENT_ON, WENT_ON, WENT_ON], r"success_terminates=true, but"),
        (None, [FELL, ENDED, ENDED, ENDED], r"set env\.success_terminates=true"),
        (False, [FELL, ENDED, ENDED, ENDED], r"set env\.success_terminates=true"),
        (None, [WENT_ON, *[ENDED] * 5], None),  # it may end at success sometimes
    ],
)
def test_what_episodes_show_of_ends(declared: bool | None, seen: Any, refused: str | None) -> None:
    functions = EnvGoalFunctions(Walk(**SUCCESS), success_terminates=declared)
    *first, last = [np.array([step]).T for step in seen]
    for step in first:
        functions.watch(*step)
    if refused is None:
        functions.watch(*last)
        return
    with pytest.raises(UserError, match=refused):
        functions.watch(*last)


# --- the task as a distance ------------------------------------------------------------------

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
