"""An env that gives what cannot be used, or raises, ends the run in one line that names it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from her_exp.agents.ddpg import DDPG
from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask
from her_exp.run import resume, train
from her_exp.training.checks import StepCheck
from her_exp.training.rollout import Rollout
from her_exp.types import EnvFailed, UserError
from tests.equality import differences
from tests.runs.health_kit import RUN, assert_kept
from tests.runs.runs_kit import assert_same_run, result_of

# --- what a vector env of one's own gives --------------------------------------------------------

STEPS = np.array([4, 0, 7])


@pytest.fixture
def given() -> tuple[StepCheck, dict[str, np.ndarray]]:
    """The check of an env of three lanes, and what it gives at a reset."""
    env = GoalTask("her_exp/PointReach-v0", num_envs=3).make()
    return StepCheck(env), env.reset(seed=0)[0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_named(value: float, given: Any) -> None:
    check, observation = given
    check.observation(observation, STEPS)
    observation["achieved_goal"][2, 1] = value
    with pytest.raises(EnvFailed, match=rf"achieved_goal of lane 2 is {value} at step 7 of its ep"):
        check.observation(observation, STEPS)
    observation["achieved_goal"][1, 0] = value
    with pytest.raises(EnvFailed, match=rf"achieved_goal of lane 1 is {value} at its reset"):
        check.observation(observation, STEPS)
    with pytest.raises(EnvFailed, match=f"reward of lane 0 is {value} at step 4 of its episode"):
        check.reward(np.array([value, 0, 0]), STEPS)


def test_numbers_whose_squares_are_too_large_are_fine(given: Any) -> None:
    check, observation = given
    observation["observation"][:] = 1e30
    check.observation(observation, STEPS)
    check.reward(np.full(3, -1e300), STEPS)
    check.action(np.full((3, 2), 1e30, np.float32))


@pytest.mark.parametrize(
    ("key", "value", "wrong"),
    [
        ("observation", np.zeros((3, 5), np.float32), r"has shape \(3, 5\).*\(3, 4\)"),
        ("desired_goal", np.zeros((3, 2), object), "has dtype object.*float32"),
        ("achieved_goal", None, "the observation has no achieved_goal"),
        ("achieved_goal", np.zeros((3, 2)), ""),  # rounded when it is stored, as Gymnasium does
    ],
)
def test_other_forms_are_named(key: str, value: Any, wrong: str, given: Any) -> None:
    check, observation = given
    observation[key] = value
    if not wrong:
        return check.observation(observation, STEPS)
    with pytest.raises(EnvFailed, match=wrong):
        check.observation(observation, STEPS)
    with pytest.raises(EnvFailed, match=r"rewards have shape \(3, 1\), expected \(3,\)"):
        check.reward(np.zeros((3, 1)), STEPS)


def test_an_action_that_is_no_number_never_reaches_the_env() -> None:
    task = GoalTask("her_exp/PointReach-v0", num_envs=3)
    env: Any = task.make()
    rollout = Rollout(env, task.goal_functions())
    rollout.reset(0)
    before = env.get_state()
    with pytest.raises(
        UserError, match="agent: the action of lane 1 is nan: learning has diverged"
    ):
        rollout.apply(np.array([[0, 0], [0, math.nan], [0, 0]], np.float32))
    assert differences(before, env.get_state()) == []


# --- a whole run ---------------------------------------------------------------------------------

FAULTS = {
    "nan:observation": r"env: observation of lane 0 is nan at step \d+ of its episode",
    "inf:achieved_goal": r"env: achieved_goal of lane 0 is inf at step \d+ of its episode",
    "nan:desired_goal": r"env: desired_goal of lane 0 is nan at step \d+ of its episode",
    "reward:nan": r"env: reward of lane 0 is nan at step \d+ of its episode",
    "reward:none": "env: step of lane 0 gave the reward None; give one number",
    "reward:many": r"env: step of lane 0 gave the reward \[0. 0.\]; give one number",
    "shape:observation": r"env: step of lane 0 gave observation of shape \(1, 1\).*says \(1,\)",
    "dtype:achieved_goal": "env: step of lane 0 gave achieved_goal as <U1, its space says float32",
    "lacks:desired_goal": "env: step of lane 0 gave an observation without desired_goal",
    "raise": "env: step of lane 0 raised ValueError: lost the %s thread",
    "odd_raise": "env: step of lane 0 raised .*OfItsOwn: <function",
}


@pytest.mark.parametrize("backend", ["sync", "async"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_env_ends_the_run(fault: str, backend: str, folder: Path) -> None:
    overrides = [*RUN, f"env.backend={backend}", f"+env.fault={fault!r}"]
    with pytest.raises(EnvFailed, match=rf"{FAULTS[fault]}.* \(env step 6\d of training\)"):
        train(compose(overrides), folder)
    result = result_of(folder)
    assert result["status"] == "failed"
    assert "\n" not in result["reason"]
    assert 60 <= result["env_steps"] < 70
    assert_kept(folder)


def test_a_run_goes_on_once_the_env_is_mended(folder: Path) -> None:
    overrides = [*RUN, "+env.fault='nan:observation'"]
    with pytest.raises(EnvFailed):
        train(compose(overrides), folder, overrides)
    Path("healed").touch()
    resume(folder, trust=["tests"])
    train(compose(overrides), folder.parent / "whole", overrides)
    assert_same_run(folder, folder.parent / "whole")


class Raises(DDPG):
    def update(self, batch: Any) -> Any:
        return {}["loss"]


def test_an_agent_that_raises_something_else_names_its_class(folder: Path) -> None:
    with pytest.raises(KeyError):
        train(compose([*RUN, f"agent._target_={__name__}.Raises"]), folder)
    assert result_of(folder)["reason"] == "KeyError: 'loss'"
