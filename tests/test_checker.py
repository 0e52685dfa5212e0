"""The checker, on small envs of which each has one fault, and on good ones."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import her_exp.check
import her_exp.envs
from her_exp.envs.checker import Finding, check_goal_env
from her_exp.envs.checking.episodes import MissingInfo, WatchedInfo
from her_exp.envs.checking.goal_call import GoalCall
from her_exp.types import UserError

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


class Walk(gym.Env[Any, Any]):
    """A good goal env: walk on a square to within 0.5 of a goal, which ends the episode."""

    limit = 20

    def __init__(self) -> None:
        keys = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = spaces.Dict(dict.fromkeys(keys, BOX))
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        self.x, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        return self.see(), self.tell()

    def see(self) -> dict[str, Any]:
        return {
            "observation": self.x.copy(),
            "achieved_goal": self.x.copy(),
            "desired_goal": self.goal.copy(),
        }

    def tell(self) -> dict[str, Any]:
        return {"is_success": self.compute_success(self.x, self.goal)}

    def step(self, action: Any) -> Any:
        self.t += 1
        self.x = np.clip(self.x + 0.3 * action, -1, 1).astype(np.float32)
        info = self.tell()
        reward = self.compute_reward(self.x, self.goal, info)
        return self.see(), float(reward), self.end(), self.t >= self.limit, info

    def end(self) -> bool:
        return bool(self.compute_terminated(self.x, self.goal, {}))

    def compute_success(self, achieved: Any, desired: Any) -> Any:
        return np.linalg.norm(achieved - desired, axis=-1) <= 0.5

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, desired) - 1.0

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, desired)


def without(*names: str) -> Callable[[Any, str], Any]:
    """Hide methods, as an env that does not have them."""

    def look(self: Any, name: str) -> Any:
        if name in names:
            raise AttributeError(name)
        return object.__getattribute__(self, name)

    return look


class Plain(Walk):
    """Has compute_reward only, as most goal envs; success is told, and ends nothing."""

    def __getattribute__(self, name: str) -> Any:
        return without("compute_success", "compute_terminated")(self, name)

    def tell(self) -> dict[str, Any]:
        return {"is_success": bool(Walk.compute_success(self, self.x, self.goal))}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return Walk.compute_success(self, achieved, desired) - 1.0

    def end(self) -> bool:
        return False


class EndsUntold(Plain):
    def end(self) -> bool:
        return bool(Walk.compute_success(self, self.x, self.goal))


class SaysNothing(Plain):
    def tell(self) -> dict[str, Any]:
        return {}


class MixesRows(Walk):
    """One row that meets its goal pays for all."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        success = self.compute_success(achieved, desired)
        return np.full(np.shape(success), float(np.any(success))) - 1.0


class NotBatched(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return 0.0 if np.linalg.norm(achieved - desired) <= 0.5 else -1.0


class RaisesOnBatches(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        x, y = achieved - desired
        return 0.0 if np.hypot(x, y) <= 0.5 else -1.0


class NeedsInfo(Walk):
    """The reward has a cost in it, handed on through info; it goes in and comes out batched."""

    def step(self, action: Any) -> Any:
        self.cost = float(np.abs(action).sum())
        return super().step(action)

    def tell(self) -> dict[str, Any]:
        return super().tell() | {"cost": getattr(self, "cost", 0.0)}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) - 0.1 * info["cost"]


class NeedsMissingInfo(NeedsInfo):
    def step(self, action: Any) -> Any:
        *others, info = super().step(action)
        del info["cost"]
        return *others, info


class Falls(Walk):
    """Ends at the right edge, whatever the goal."""

    def end(self) -> bool:
        return super().end() or bool(self.x[0] >= 0.99)


class PaysForCrash(Walk):
    def step(self, action: Any) -> Any:
        observation, reward, *others = super().step(action)
        return observation, reward - 10.0 * (abs(self.x[0]) >= 0.99), *others


class PaysLate(Walk):
    """Step's reward is of the state before the action."""

    def step(self, action: Any) -> Any:
        before = float(self.compute_reward(self.x, self.goal, {}))
        observation, _, *others = super().step(action)
        return observation, before, *others


class NotRepeatable(Walk):
    noise = np.random.default_rng(0)

    def step(self, action: Any) -> Any:
        return super().step(action + 0.01 * self.noise.normal(size=2))


class ForgetsToEnd(Walk):
    def end(self) -> bool:
        return False


class GoalDtype(Walk):
    def __init__(self) -> None:
        super().__init__()
        goal = spaces.Box(-1.0, 1.0, (2,), np.float64)
        self.observation_space = spaces.Dict({**self.observation_space, "desired_goal": goal})


class ReturnsFloat64(Walk):
    def see(self) -> dict[str, Any]:
        return {key: value.astype(np.float64) for key, value in super().see().items()}


class ReturnsAnotherShape(Walk):
    def see(self) -> dict[str, Any]:
        return super().see() | {"achieved_goal": self.x[:1].copy()}


class LeavesItsSpace(Walk):
    def see(self) -> dict[str, Any]:
        return super().see() | {"observation": 3 * self.x}


class LacksKey(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict({"observation": BOX, "desired_goal": BOX})


class NoDict(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = BOX


class NoReward(Walk):
    def __getattribute__(self, name: str) -> Any:
        return without("compute_reward")(self, name)

    def step(self, action: Any) -> Any:
        return self.see(), 0.0, False, True, {}


class OddActions(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.MultiDiscrete([3, 3])  # type: ignore[assignment]


class StartsAtGoal(Walk):
    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        if self.np_random.random() < 0.5:
            self.goal = self.x.copy()
        return self.see(), self.tell()

    def compute_success(self, achieved: Any, desired: Any) -> Any:
        return np.linalg.norm(achieved - desired, axis=-1) <= 0.1


class OwnGoal(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, self.goal) - 1.0


class Backwards(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -1.0 * self.compute_success(achieved, desired)


class Disagrees(Walk):
    def tell(self) -> dict[str, Any]:
        return {"is_success": False}


class NotFinite(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) + np.nan


class Endless(Walk):
    limit = 10**6

    def end(self) -> bool:
        return False

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return False


class BreaksInStep(Walk):
    def step(self, action: Any) -> Any:
        raise RuntimeError("the simulator is gone\nand more")


class BreaksInTerminated(Walk):
    def end(self) -> bool:
        return False

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        raise ZeroDivisionError


class BreaksInClose(Walk):
    def close(self) -> None:
        raise OSError("no display")


FAULTS: list[tuple[type[Walk], str, str, str]] = [
    (MixesRows, "error", "batched reward", "mixes rows: in a batch of"),
    (NotBatched, "warning", "batched reward", r"give shape \(\), in place of \(\d+,\).*axis=-1"),
    (RaisesOnBatches, "warning", "batched reward", r"raise ValueError.*us each"),
    (NeedsInfo, "warning", "info", r"read \['cost'\].*buffer.info_keys=\[cost\]"),
    (NeedsMissingInfo, "error", "compute_reward", r"info\['cost'\], which step does not give"),
    (Falls, "warning", "termination", "although the goal was not met: a crash or a fall"),
    (PaysForCrash, "warning", "reward of step", r"[\d.]+ % of the steps, by -10: a part that no"),
    (PaysLate, "error", "reward of step", "achieved before the action"),
    (NotRepeatable, "warning", "repeatable", "give another observation at step 1"),
    (ForgetsToEnd, "error", "compute_terminated", "says yes on .* that step did not terminate"),
    (GoalDtype, "error", "spaces", r"float32 \(2,\), desired_goal float64 \(2,\)"),
    (ReturnsFloat64, "warning", "observations", "comes as float64, its space says float32"),
    (ReturnsAnotherShape, "error", "observations", r"comes as \(1,\), its space says \(2,\)"),
    (LeavesItsSpace, "warning", "observations", "observation leaves its space in .* widen"),
    (LacksKey, "error", "spaces", "lacks achieved_goal"),
    (NoDict, "error", "spaces", "is a Box; make it a Dict"),
    (NoReward, "error", "compute_reward", "is missing"),
    (OddActions, "error", "spaces", "action_space is MultiDiscrete"),
    (StartsAtGoal, "warning", "goals at reset", r"[4-6]\d % of 100 episodes begin with the goal"),
    (OwnGoal, "warning", "hindsight", "no reward depends on the goal that is handed in"),
    (Backwards, "warning", "hindsight", r"can pay less \(-1\) than another \(0\)"),
    (Disagrees, "error", "success", "disagree"),
    (NotFinite, "error", "compute_reward", "not finite"),
    (Endless, "warning", "episodes", "3 of 3 did not end within 1000 steps"),
    (BreaksInStep, "error", "playing it", "RuntimeError: the simulator is gone$"),
    (BreaksInTerminated, "error", "compute_terminated", "ZeroDivisionError"),
    (BreaksInClose, "error", "closing it", "OSError: no display"),
    (SaysNothing, "warning", "success", "declare env.reward_range"),
    (EndsUntold, "error", "termination", "set env.success_terminates=true"),
]


def found(findings: list[Finding], what: str) -> list[Finding]:
    return [finding for finding in findings if finding.what == what]


@pytest.mark.parametrize(
    ("env", "level", "what", "words"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS]
)
def test_each_fault_is_said(env: type[Walk], level: str, what: str, words: str) -> None:
    findings = check_goal_env(env)
    about = found(findings, what)
    assert about, findings
    assert re.search(words, about[0].says), about
    assert about[0].level == level
    for finding in findings:
        assert "\n" not in finding.says


#: What follows from the one fault, and is said as well.
ALSO = {
    OwnGoal: {"hindsight", "reward of step"},  # its goal has moved on since
    Falls: {"termination"},
    StartsAtGoal: {"goals at reset"},
    PaysForCrash: {"reward of step"},
    NotRepeatable: {"repeatable"},
    NeedsInfo: {"info"},
}


@pytest.mark.parametrize("env", ALSO)
def test_nothing_else_is_said(env: type[Walk]) -> None:
    odd = {finding.what for finding in check_goal_env(env) if finding.level != "ok"}
    assert odd == ALSO[env]


@pytest.mark.parametrize("id", sorted(her_exp.envs._ENVS))
def test_our_envs_are_all_ok(id: str) -> None:
    findings = check_goal_env(lambda: gym.make(id))
    assert {finding.level for finding in findings} == {"ok"}, findings
    says = {finding.what: finding.says for finding in findings}
    assert "distinct goals at once" in says["batched reward"]
    assert "none" in says["info"]
    assert says["success"].startswith("from compute_success")


def test_a_good_env_has_no_error() -> None:
    findings = check_goal_env(Walk, episodes=5)
    assert {finding.level for finding in findings} == {"ok"}
    assert "5 with random actions" in found(findings, "episodes")[0].says


def test_the_declared_end_counts_without_compute_terminated() -> None:
    def says(env: type[Walk], declared: bool | None) -> Finding:
        return found(check_goal_env(env, success_terminates=declared), "termination")[0]

    assert says(Plain, None).level == "ok"
    assert says(Plain, False).level == "ok"
    assert says(EndsUntold, True).level == "ok"
    wrong = says(Plain, True)
    assert wrong.level == "error"
    assert "went on after success" in wrong.says


def test_an_env_that_cannot_be_made() -> None:
    def make() -> Any:
        raise ImportError("no such simulator")

    assert check_goal_env(make) == [
        Finding("error", "making it", "raises ImportError: no such simulator")
    ]


def test_the_info_fields_that_are_read() -> None:
    read: set[str] = set()
    info = WatchedInfo({"a": 1, "b": 2, "c": 3, "d": 4}, read)
    assert info["a"] == 1
    assert info.get("b") == 2
    assert "c" in info
    assert info.get("e", 5) == 5
    assert read == {"a", "b", "c", "e"}
    with pytest.raises(MissingInfo):
        info["f"]
    read.clear()
    assert dict(info.items())["d"] == 4
    assert read == {"a", "b", "c", "d"}


def test_functions_without_info_are_called_without_it() -> None:
    two = GoalCall("two", lambda achieved, desired: achieved[0] - desired[0])
    assert two.one(np.array([3.0]), np.array([1.0]), {}) == 2.0
    with pytest.raises(ValueError, match=r"shape \(2,\) for a single goal"):
        GoalCall("wide", lambda achieved, desired: achieved).one(np.zeros(2), np.zeros(2), {})


# The command.


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "her_exp.check", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_prints_a_table() -> None:
    result = run("env=nav2d", "env.max_steps=30")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "13 ok, 0 to know, 0 wrong"
    column = lines[0].index("observation (2,) float32")
    assert all(line[column - 1] == " " for line in lines[:-2])
    assert "of [30, 30, 30] steps" in result.stdout


def test_the_command_fails_for_an_env_that_is_none() -> None:
    result = run("env=gym", "env.id=CartPole-v1")
    assert result.returncode == 1
    assert "ERROR  spaces" in result.stdout
    assert "0 ok, 0 to know, 1 wrong" in result.stdout


def test_help_names_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    her_exp.check.main(["env=nav2d", "--help"])
    assert "usage: her-check" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["env=nav"], "env=nav"),
        (["env=gym"], "env.id"),
        (["env=gym", "env.id=CartPol-v1"], "CartPole-v1"),
        (["env=nav2d", "env.goal_low=9"], "goal_low=9: must be >= 0 and < goal_high=4.5"),
        (["env=gym", "env.id=X-v0", "env.imports=[no_such_module]"], "no_such_module"),
    ],
)
def test_a_wrong_command_is_one_line(
    overrides: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        her_exp.check.check(overrides)
    with pytest.raises(SystemExit) as stop:
        her_exp.check.main(overrides)
    assert stop.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("her_exp: error: ")
    assert words in output.err
