"""Where success and termination come from: the env itself, its info, or what is declared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.types import UserError
from tests.envs.goal_walk import GOALS, NEAR, RANGE, Walk, WithSuccess


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
    functions.watch(YES, NO)  # twice a goal that rounding has met
    functions.watch(YES, NO)
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
