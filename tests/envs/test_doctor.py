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
from tests.envs.faulty_walks import FAULTS, good, raises
from tests.envs.goal_walk import Bare

#: Of these nothing else is said; what follows from the one fault is said as well.
ALONE = {
    "pays for its own goal": {"hindsight", "reward of step"},  # its goal has moved on since
    "falls": {"termination"},
    "starts at its goal": {"goals at reset"},
    "pays for a crash": {"reward of step"},
    "not repeatable": {"repeatable"},
    "needs info": {"info"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_said(fault: str) -> None:
    changes, level, what, words = FAULTS[fault]
    findings = check_goal_env(lambda: good(**changes))
    about = [finding for finding in findings if finding.what == what]
    assert about, findings
    assert re.search(words, about[0].says), about
    assert about[0].level == level
    assert not any("\n" in finding.says for finding in findings)
    odd = {finding.what for finding in findings if finding.level != "ok"}
    assert odd == ALONE.get(fault, odd)


def test_an_env_that_cannot_be_made_or_has_no_reward() -> None:
    made = check_goal_env(raises(ImportError("no such simulator")))
    assert made == [Finding("error", "making it", "raises ImportError: no such simulator")]
    last = check_goal_env(Bare)[-1]
    assert (last.level, last.what) == ("error", "compute_reward")
    assert "is missing" in last.says


@pytest.mark.parametrize("id", sorted(id for id in gym.registry if id.startswith("her_exp/")))
def test_our_envs_are_all_ok(id: str) -> None:
    findings = check_goal_env(lambda: gym.make(id))
    assert {finding.level for finding in findings} == {"ok"}, findings
    says = {finding.what: finding.says for finding in findings}
    assert "distinct goals at once" in says["batched reward"]
    assert "none" in says["info"]
    assert says["success"].startswith("from compute_success")


def test_a_good_env_is_all_ok() -> None:
    findings = check_goal_env(good, episodes=5)
    assert {finding.level for finding in findings} == {"ok"}
    (episodes,) = [finding for finding in findings if finding.what == "episodes"]
    assert "5 with random actions" in episodes.says


PLAIN: dict[str, Any] = {"compute_success": None, "compute_terminated": None}


@pytest.mark.parametrize(
    ("changes", "declared", "level"),
    [
        (PLAIN | {"end": None}, None, "ok"),
        (PLAIN | {"end": None}, False, "ok"),
        (PLAIN, True, "ok"),
        (PLAIN | {"end": None}, True, "error"),
    ],
)
def test_the_declared_end_counts_without_compute_terminated(
    changes: dict[str, Any], declared: bool | None, level: str
) -> None:
    settings = {"success_terminates": declared, "reward_range": (-1, 0)}
    findings = check_goal_env(lambda: good(**changes), **settings)
    (end,) = [finding for finding in findings if finding.what == "termination"]
    assert end.level == level
    assert ("went on after success" in end.says) == (level == "error")


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
