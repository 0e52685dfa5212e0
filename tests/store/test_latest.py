"""run=latest, resume=latest, rerun=latest: the run under outputs/ that trained last, which is told."""

from __future__ import annotations

import os
from pathlib import Path

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


def test_the_newest_is_the_one_that_trained_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("run", "resume", "rerun"):
        line = rf"^{word}=latest: no run under .*/outputs; give {word}="
        with pytest.raises(UserError, match=line):
            named(word, "latest")
    old, young = Path("outputs/z/ddpg/2026-01"), Path("outputs/sweeps/a/buffer.k=8,seed=1")
    run_at(old, 100)
    run_at(young, 200)
    assert named("run", "latest") == tmp_path / young
    assert capsys.readouterr().err == f"run=latest: {tmp_path / young}\n"
    run_at(old, 300, "result.json")  # goes on
    assert named("run", "latest") == tmp_path / old
    run_at(Path("elsewhere/run"), 400)
    run_at(old / "inside", 500)  # what lies in a run is no run of its own
    assert named("resume", "latest") == tmp_path / old
    capsys.readouterr()
    assert named("run", "./latest") == Path("latest")  # any other name is a folder
    assert named("run", "outputs/a") == Path("outputs/a")
    assert capsys.readouterr().err == ""
