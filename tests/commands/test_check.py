"""her-check prints a table, says what a run would refuse, and refuses wrong words in one line."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import pytest

import her_exp.check
from her_exp.check import check
from tests.conftest import RunCli
from tests.envs import strange_envs  # noqa: F401  (registers)
from tests.envs.faulty_walks import SaysNothing


def test_the_command_prints_a_table(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("env=nav2d", "env.max_steps=30", module="check", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "14 ok, 0 to know, 0 wrong"
    column = lines[0].index("observation (2,) float32")
    assert all(line[column - 1] == " " for line in lines[:-2])
    assert "of [30, 30, 30] steps" in result.stdout


def test_a_wrong_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        her_exp.check.main(["env=nav2d", "env.goal_low=9"])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert (out, line[:16]) == ("", "her_exp: error: ")
    assert "goal_low=9: must be >= 0 and < goal_high=4.5" in line


@pytest.mark.parametrize(("late", "level"), [(False, "ok"), (True, "warning")])
def test_a_goal_that_changes_within_an_episode_is_said(late: bool, level: str) -> None:
    found = check(["env=gym", "env.id=strange/Chase-v0", f"+env.late={late}".lower()])
    (goal,) = [finding for finding in found if finding.what == "goal"]
    assert "is judged by the goal that its action was chosen for" in goal.says
    (reward,) = [finding for finding in found if finding.what == "reward of step"]
    assert reward.level == level
    assert ("is that of the next goal" in reward.says) == late
    assert not [finding for finding in found if finding.level == "error"]


def test_what_a_run_would_refuse_is_an_error() -> None:
    """The very functions that a run has are asked, with all that is declared."""
    gym.register("quiet/Walk-v0", SaysNothing, disable_env_checker=True)
    env = ["env=gym", "env.id=quiet/Walk-v0"]
    assert [f.what for f in check(env) if f.level == "error"] == ["in a run"]
    assert not [f for f in check([*env, "env.reward_range=[-1,0]"]) if f.level == "error"]
    (said,) = [f for f in check([*env, "+env.success_reward=-0.5"]) if f.what == "success"]
    assert said.says.startswith("from reward -0.5; ")
    gym.registry.pop("quiet/Walk-v0")
    ours = check(["env=point_reach", "+env.success_reward=-0.5"])
    (refused,) = [f for f in ours if f.level == "error"]
    assert "the env has compute_success" in refused.says
