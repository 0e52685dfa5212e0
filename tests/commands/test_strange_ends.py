"""A stranger's env that wants to end the program ends its run alone, with a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from her_exp.check import check
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.types import UserError
from tests.envs import strange_envs  # noqa: F401  (registers)
from tests.runs.runs_kit import result_of

BASE = ["env=gym", "env.id=strange/Leaves-v0", "env.reward_range=[-1,0]"]
SAID = {
    "exit": "SystemExit: 0",
    "bare": "Bare: gone",
    "dumb": "Dumb",
    "words": r"ValueError: x+\.\.\. \(30000\d\d characters\)",
}


@pytest.mark.parametrize(
    ("how", "backend"),
    [("exit", "sync"), ("bare", "async"), ("dumb", "sync"), ("words", "async")],
)
def test_a_step_that_leaves(how: str, backend: str, tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, *BASE, f"env.backend={backend}", f"+env.how={how}", "trainer.picture=false"]
    with pytest.raises(UserError, match=rf"^env: step of lane \d raised {SAID[how]}"):
        train(compose(words), tmp_path / "run")
    result = result_of(tmp_path / "run")
    assert result["status"] == "failed"
    assert result["reason"].isprintable()
    assert len(result["reason"]) < 3000


@pytest.mark.parametrize("how", SAID)
def test_making_and_judging_that_leave(how: str) -> None:
    with pytest.raises(UserError) as refused:
        validate(compose([*BASE, f"+env.how={how}", "+env.where=init"]))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 3000
    with pytest.raises(UserError, match=r"^env: step of lane 0 raised|^compute_reward of the env"):
        GoalTask("strange/Leaves-v0", how=how, where="reward").goal_functions()


def test_the_check_of_an_env_that_leaves() -> None:
    found = check([*BASE, "+env.how=exit", "+env.at=3"])
    assert any("SystemExit: 0" in f.says for f in found if f.level == "error")


class Exits:
    """A strategy that has had enough."""

    def __call__(self, drawn: object, generator: object) -> object:
        raise SystemExit("enough")


def test_any_part_that_leaves(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, f"buffer.strategy={{_target_:{__name__}.Exits}}"]
    with pytest.raises(RuntimeError, match="SystemExit: enough"):
        train(compose(words), tmp_path / "run")
    assert result_of(tmp_path / "run")["status"] == "failed"
    assert "SystemExit: enough" in result_of(tmp_path / "run")["reason"]
