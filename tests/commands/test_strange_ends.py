"""A stranger's env that wants to end the program ends its run, with a line, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from her_exp.check import check
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.types import UserError
from tests.conftest import RunCli
from tests.envs import strange_envs  # noqa: F401  (registers)
from tests.runs.runs_kit import result_of

BASE = ["env=gym", "env.id=strange/Leaves-v0", "env.reward_range=[-1,0]"]
SAID = {
    "exit": "SystemExit: 0",
    "bare": "Bare: gone",
    "dumb": "Dumb",
    "words": r"ValueError: x+\.\.\. \(30000\d\d characters\)",
}


@pytest.mark.parametrize("backend", ["sync", "async"])
@pytest.mark.parametrize("how", SAID)
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


@pytest.mark.parametrize("where", ["step", "reward"])
def test_the_check_of_an_env_that_leaves(where: str) -> None:
    found = check([*BASE, "+env.how=exit", f"+env.where={where}", "+env.at=3"])
    assert any("SystemExit: 0" in f.says for f in found if f.level == "error")


def test_the_command_ends_with_1_and_other_jobs_run(
    run_cli: RunCli, tiny: list[str], tmp_path: Path
) -> None:
    """sys.exit(0) in an env is no success of a run, nor the end of a sweep."""
    here = {"PYTHONPATH": str(Path(__file__).parents[2])}
    words = [*tiny, *BASE, "env.imports=[tests.envs.strange_envs]", "env.backend=sync"]
    one = run_cli(*words, "hydra.run.dir=one", cwd=tmp_path, env=here)
    assert one.returncode == 1, one.stdout + one.stderr
    assert "her_exp: error: env: step of lane 0 raised SystemExit: 0" in one.stdout + one.stderr
    at = "+env.at=65,100000"
    many = run_cli("-m", *words, at, "sweep=many", cwd=tmp_path, env=here)
    assert many.returncode == 1
    notes = (tmp_path / "outputs/sweeps/many/jobs.jsonl").read_text().splitlines()
    assert [json.loads(note)[0] for note in notes] == ["failed", "done"]


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
