"""An env that gives what cannot be used, or raises, ends the run in one line that names it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask
from her_exp.run import resume, train
from her_exp.training.checks import StepCheck
from her_exp.training.rollout import Rollout
from her_exp.types import EnvFailed, UserError
from tests.equality import differences
from tests.runs.health_kit import RUN, Start, assert_kept
from tests.runs.runs_kit import last_state, numbers, result_of


class Given:
    """A vector env that gives what it is told to."""

    def __init__(self) -> None:
        self.env = GoalTask("her_exp/PointReach-v0", num_envs=3).make()
        self.check = StepCheck(self.env)
        self.observation, _ = self.env.reset(seed=0)
        self.steps = np.array([4, 0, 7])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["observation", "achieved_goal", "desired_goal"])
def test_a_number_that_is_none_is_named(key: str, value: float) -> None:
    given = Given()
    given.check.observation(given.observation, given.steps)
    given.observation[key][2, 1] = value
    with pytest.raises(
        EnvFailed, match=rf"env: {key} of lane 2 is {value} at step 7 of its episode"
    ):
        given.check.observation(given.observation, given.steps)
    given.observation[key][1, 0] = value
    with pytest.raises(EnvFailed, match=rf"{key} of lane 1 is {value} at its reset"):
        given.check.observation(given.observation, given.steps)


def test_numbers_whose_squares_are_too_large_are_fine() -> None:
    given = Given()
    given.observation["observation"][:] = 1e30
    given.check.observation(given.observation, given.steps)
    given.check.reward(np.full(3, -1e300), given.steps)
    given.check.action(np.full((3, 2), 1e30, np.float32))


def test_other_forms_are_named() -> None:
    given = Given()

    def refused(key: str, value: Any, wrong: str) -> None:
        with pytest.raises(EnvFailed, match=wrong):
            given.check.observation({**given.observation, key: value}, given.steps)

    refused(
        "observation", np.zeros((3, 5), np.float32), r"observation has shape \(3, 5\).*\(3, 4\)"
    )
    refused("desired_goal", np.zeros((3, 2), object), "desired_goal has dtype object.*float32")
    refused("achieved_goal", None, "the observation has no achieved_goal")
    # float64 for float32 is rounded when it is stored, as Gymnasium's own vector envs do.
    wide = {key: value.astype(np.float64) for key, value in given.observation.items()}
    given.check.observation(wide, given.steps)
    with pytest.raises(EnvFailed, match=r"rewards have shape \(3, 1\), expected \(3,\)"):
        given.check.reward(np.zeros((3, 1)), given.steps)
    with pytest.raises(EnvFailed, match="reward of lane 0 is nan at step 4 of its episode"):
        given.check.reward(np.array([math.nan, 0, 0]), given.steps)


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


@pytest.mark.parametrize(
    ("fault", "backend"),
    [("nan:observation", "sync"), ("shape:observation", "async"),
     ("raise", "sync"), ("raise", "async")],
)  # fmt: skip
def test_the_command_with_a_faulty_env(
    fault: str, backend: str, folder: Path, start: Start
) -> None:
    command = start(f"env.backend={backend}", f"+env.fault={fault!r}")
    command.fails(f"of lane 0 {'raised ValueError: lost' if fault == 'raise' else ''}".rstrip())
    assert_kept(folder)
    # What the env raised is in the log, where to look for it; of what it gave one line says all.
    log = (folder / "run.log").read_text()
    assert ("Traceback" in log) == (fault == "raise")
    assert ('raise ValueError("lost the %s thread")' in log) == (fault == "raise")


def test_a_run_goes_on_once_the_env_is_mended(folder: Path) -> None:
    overrides = [*RUN, "+env.fault='nan:observation'"]
    with pytest.raises(EnvFailed):
        train(compose(overrides), folder, overrides)
    Path("healed").touch()
    resume(folder, trust=["tests"])
    train(compose(overrides), folder.parent / "whole", overrides)
    assert numbers(folder) == numbers(folder.parent / "whole")
    assert differences(last_state(folder), last_state(folder.parent / "whole")) == []


def test_an_agent_that_raises(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else fails names its class."""
    monkeypatch.setattr("her_exp.agents.ddpg.DDPG.update", lambda *_: {}["loss"])
    with pytest.raises(KeyError):
        train(compose(RUN), folder)
    assert result_of(folder)["reason"] == "KeyError: 'loss'"
