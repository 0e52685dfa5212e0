"""run=latest, resume=latest, rerun=latest: the run under outputs/ that trained last, which is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from her_exp.store.find import named
from her_exp.types import UserError


def run_at(folder: Path, seconds: float, file: str = "run.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "run.json", "result.json"):
        if not (folder / name).exists():
            (folder / name).touch()
            os.utime(folder / name, (0, 0))
    os.utime(folder / file, (seconds, seconds))
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_newest_is_the_one_that_trained_last(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, young = Path("outputs/z/ddpg/2026-01"), Path("outputs/sweeps/a/buffer.k=8,seed=1")
    run_at(old, 100)
    run_at(young, 200)
    assert named("run", "latest") == here / young
    assert capsys.readouterr().err == f"run=latest: {here / young}\n"
    run_at(old, 300, "result.json")  # goes on
    assert named("run", "latest") == here / old
    run_at(Path("elsewhere/run"), 400)
    run_at(old / "inside", 500)  # what lies in a run is no run of its own
    assert named("resume", "latest") == here / old


def test_any_other_name_is_a_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_at(Path("outputs/a"), 100)
    assert named("run", "./latest") == Path("latest")
    assert named("run", "outputs/a") == Path("outputs/a")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("word", ["run", "resume", "rerun"])
def test_without_a_run_there_is_no_latest(word: str, here: Path) -> None:
    with pytest.raises(UserError, match=rf"^{word}=latest: no run under .*/outputs; give {word}="):
        named(word, "latest")


def test_the_commands_take_it(tmp_path: Path, run_cli: Any, tiny: list[str]) -> None:
    first = run_cli(*tiny, "seed=1", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    folder = first.stdout.splitlines()[-1]
    judged = run_cli("run=latest", "episodes=5", cwd=tmp_path, module="evaluate")
    assert judged.returncode == 0, judged.stderr
    assert f"run=latest: {folder}" in judged.stderr
    steps = 2 * json.loads((tmp_path / folder / "result.json").read_text())["env_steps"]
    longer = run_cli("resume=latest", f"trainer.total_steps={steps}", cwd=tmp_path)
    assert longer.returncode == 0, longer.stderr
    assert longer.stdout.splitlines()[-1] == folder
    assert json.loads((tmp_path / folder / "result.json").read_text())["env_steps"] == steps
    again = run_cli("rerun=latest", "seed=2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] != folder
    assert f"rerun=latest: {folder}" in again.stderr
