"""Which folder is meant: a sweep's job is known by its whole config, `latest` by what trained last."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from her_exp.config.compose import compose
from her_exp.config.hydra_api import (
    FOLDER_LENGTH,
    hydra_values,
    job_name,
    path_safe,
    without_hydra,
)
from her_exp.store.find import job_folder, named
from her_exp.types import UserError


def job(*overrides: str) -> DictConfig:
    return compose([*overrides, "sweep=mine"], hydra_config=True)


def name_of(cfg: DictConfig, override_dirname: str) -> str:
    with hydra_values(cfg):
        return job_folder(override_dirname, _root_=cfg)


def begun(name: str, cfg: DictConfig) -> None:
    folder = Path("outputs/sweeps/mine") / name
    folder.mkdir(parents=True)
    OmegaConf.save(without_hydra(cfg), folder / "config.yaml", resolve=True)
    (folder / "run.json").write_text("{}")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_sweep_may_have_had_fewer_keys_when_the_job_was_done() -> None:
    cfg = job("buffer.k=8", "seed=1")
    before = name_of(cfg, "buffer.k=8")
    begun(before, cfg)
    assert name_of(cfg, "buffer.k=8,seed=1") == before
    assert name_of(job("buffer.k=8", "seed=2"), "seed=2").startswith("seed=2_")


def test_path_safe() -> None:
    given = ["a=8,b=1", "her_exp/Reach-v0", "../../etc", "a b\n*?'c'", "-rf", "käse", ""]
    safe = ["a=8,b=1", "her_exp_Reach-v0", "etc", "a_b_c_", "rf", "k_se", "_"]
    assert [path_safe(text) for text in given] == safe


def test_job_name_is_short_and_tells_configs_apart() -> None:
    cfg = compose()
    long = job_name("k=" + "x" * 500, _root_=cfg)
    assert len(long) == FOLDER_LENGTH
    assert re.fullmatch(r"k=x+_[0-9a-f]{6}", long)
    assert long == job_name("k=" + "x" * 500, _root_=cfg)
    assert long[-6:] != job_name("k=", _root_=compose(["seed=1"]))[-6:]
    assert job_name("", _root_=cfg).startswith("default_")


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
