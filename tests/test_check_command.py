"""her-check prints a table, fails for an env that is none, and refuses wrong words in one line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import her_exp.check
from her_exp.types import UserError


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
