"""The checker, on small envs of which each has one fault, and on good ones."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import her_exp.envs  # noqa: F401  (registers the ids)
from her_exp.envs.doctor.checker import Finding, check_goal_env
from her_exp.envs.doctor.episodes import MissingInfo, WatchedInfo
from her_exp.envs.doctor.goal_call import GoalCall
from tests.envs import faulty_walks as faulty
from tests.envs.faulty_walks import Walk

FAULTS: list[tuple[type[Walk], str, str, str]] = [
    (faulty.MixesRows, "error", "batched reward", "mixes rows: in a batch of"),
    (
        faulty.NotBatched,
        "warning",
        "batched reward",
        r"give shape \(\), in place of \(\d+,\).*axis=-1",
    ),
    (faulty.RaisesOnBatches, "warning", "batched reward", r"raise ValueError.*us each"),
    (faulty.NeedsInfo, "warning", "info", r"read \['cost'\].*buffer.info_keys=\[cost\]"),
    (
        faulty.NeedsMissingInfo,
        "error",
        "compute_reward",
        r"info\['cost'\], which step does not give",
    ),
    (faulty.Falls, "warning", "termination", "although the goal was not met: a crash or a fall"),
    (
        faulty.PaysForCrash,
        "warning",
        "reward of step",
        r"[\d.]+ % of the steps, by -10: a part that no",
    ),
    (faulty.PaysLate, "error", "reward of step", "achieved before the action"),
    (faulty.NotRepeatable, "warning", "repeatable", "give another observation at step 1"),
    (
        faulty.ForgetsToEnd,
        "error",
        "compute_terminated",
        "says yes on .* that step did not terminate",
    ),
    (faulty.GoalDtype, "error", "spaces", r"float32 \(2,\), desired_goal float64 \(2,\)"),
    (faulty.ReturnsFloat64, "warning", "observations", "comes as float64, its space says float32"),
    (
        faulty.ReturnsFloatsForIntegers,
        "error",
        "observations",
        r"observation comes as float32, its space says int8, .*: a run refuses it",
    ),
    (
        faulty.ReturnsAnotherShape,
        "error",
        "observations",
        r"comes as \(1,\), its space says \(2,\)",
    ),
    (faulty.LeavesItsSpace, "warning", "observations", "observation leaves its space in .* widen"),
    (faulty.LacksKey, "error", "spaces", "lacks achieved_goal"),
    (faulty.NoDict, "error", "spaces", "is a Box; make it a Dict"),
    (faulty.NoReward, "error", "compute_reward", "is missing"),
    (faulty.OddActions, "error", "spaces", "action_space is MultiDiscrete"),
    (faulty.WholeActions, "error", "spaces", r"action_space is Box\(.*int64\): number its"),
    (
        faulty.StartsAtGoal,
        "warning",
        "goals at reset",
        r"[4-6]\d % of 100 episodes begin with the goal",
    ),
    (faulty.OwnGoal, "warning", "hindsight", "no reward depends on the goal that is handed in"),
    (faulty.Backwards, "warning", "hindsight", r"can pay less \(-1\) than another \(0\)"),
    (faulty.Disagrees, "error", "success", "disagree"),
    (faulty.NotFinite, "error", "compute_reward", "not finite"),
    (faulty.Endless, "warning", "episodes", "3 of 3 did not end within 1000 steps"),
    (faulty.BreaksInStep, "error", "playing it", "RuntimeError: the simulator is gone$"),
    (faulty.BreaksInTerminated, "error", "compute_terminated", "ZeroDivisionError"),
    (faulty.BreaksInClose, "error", "closing it", "OSError: no display"),
    (
        faulty.SaysNothing,
        "error",
        "in a run",
        r"env\.reward_range: .*; declare \[lowest, highest\]",
    ),
    (faulty.EndsUntold, "error", "termination", "set env.success_terminates=true"),
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
    faulty.OwnGoal: {"hindsight", "reward of step"},  # its goal has moved on since
    faulty.Falls: {"termination"},
    faulty.StartsAtGoal: {"goals at reset"},
    faulty.PaysForCrash: {"reward of step"},
    faulty.NotRepeatable: {"repeatable"},
    faulty.NeedsInfo: {"info"},
}


@pytest.mark.parametrize("env", ALSO)
def test_nothing_else_is_said(env: type[Walk]) -> None:
    odd = {finding.what for finding in check_goal_env(env) if finding.level != "ok"}
    assert odd == ALSO[env]


@pytest.mark.parametrize("id", sorted(id for id in gym.registry if id.startswith("her_exp/")))
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
        findings = check_goal_env(env, success_terminates=declared, reward_range=(-1, 0))
        return found(findings, "termination")[0]

    assert says(faulty.Plain, None).level == "ok"
    assert says(faulty.Plain, False).level == "ok"
    assert says(faulty.EndsUntold, True).level == "ok"
    wrong = says(faulty.Plain, True)
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
