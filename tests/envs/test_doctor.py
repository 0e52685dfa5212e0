"""The checker, on small envs of which each has one fault, and on good ones."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import gymnasium as gym
import pytest

import her_exp.envs  # noqa: F401  (registers the ids)
from her_exp.envs.doctor.checker import Finding, check_goal_env
from tests.envs.faulty_walks import FAULTS, good, raises
from tests.envs.goal_walk import Bare


@pytest.mark.parametrize("said", FAULTS, ids=lambda said: f"{said[1]}: {said[2][:20]}")
def test_each_fault_is_said(said: tuple[str, ...]) -> None:
    level, what, words, *alone = said
    findings = check_goal_env(lambda: good(**FAULTS[said]))
    about = [finding for finding in findings if finding.what == what]
    assert about, findings
    assert re.search(words, about[0].says), about
    assert about[0].level == level
    assert not any("\n" in finding.says for finding in findings)
    if alone:
        assert {finding.what for finding in findings if finding.level != "ok"} == set(alone)


def test_an_env_that_cannot_be_made_or_has_no_reward() -> None:
    made = check_goal_env(raises(ImportError("no such simulator")))
    assert made == [Finding("error", "making it", "raises ImportError: no such simulator")]
    last = check_goal_env(Bare)[-1]
    assert (last.level, last.what) == ("error", "compute_reward")
    assert "is missing" in last.says


OURS = sorted(id for id in gym.registry if id.startswith("her_exp/"))


@pytest.mark.parametrize("make", [good, *(partial(gym.make, id) for id in OURS)])
def test_good_envs_are_all_ok(make: Any) -> None:
    findings = check_goal_env(make, episodes=5)
    assert {finding.level for finding in findings} == {"ok"}, findings
    says = {finding.what: finding.says for finding in findings}
    assert "5 with random actions" in says["episodes"]
    assert "distinct goals at once" in says["batched reward"]
    assert "none" in says["info"]
    assert says["success"].startswith("from compute_success")


PLAIN: dict[str, Any] = {"compute_success": None, "compute_terminated": None}


@pytest.mark.parametrize(
    ("changes", "declared", "level"),
    [
        (PLAIN | {"end": None}, None, "warning"),
        (PLAIN | {"end": None}, False, "warning"),
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
