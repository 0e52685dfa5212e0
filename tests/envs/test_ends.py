"""Where success and termination come from: the env itself, its info, or what is declared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.types import UserError
from tests.envs.goal_walk import GOALS, NEAR, RANGE, SUCCESS, Walk

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
