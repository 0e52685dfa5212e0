"""Every file of every group of the configuration composes, is made, and trains for a moment."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from her_exp import CONF_DIR
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.run import train
from tests.config.conf_files import CHOICES, COMPANY, words
from tests.runs.runs_kit import numbers, result_of


@pytest.fixture
def short(tiny: list[str]) -> list[str]:
    return [
        *tiny, "trainer.total_steps=200", "trainer.eval_every=150", "trainer.log_every=50",
        "trainer.updates_per_step=0.5", "trainer.learn_every=8",
    ]  # fmt: skip


def run(folder: Path, overrides: list[str]) -> None:
    """Train as the command would, and look at what was logged."""
    cfg = compose(overrides)
    for package in cfg.env.imports:
        pytest.importorskip(package)
    validate(cfg)
    success = train(cfg, folder, overrides)
    result = result_of(folder)
    assert result["status"] == "done"
    assert result["eval"]["success_final"] == success
    assert result["eval"]["episodes"] == 4
    assert 200 <= result["env_steps"] < 200 + cfg.env.num_envs
    assert result["updates"] == int((result["env_steps"] - 100) * 0.5)
    assert all(math.isfinite(float(text)) for _, _, text in numbers(folder))
    assert {tag for _, tag, _ in numbers(folder)} & {"train/critic_loss", "train/actor_loss"}
    for name in ("last", "best"):
        torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)


def when(chosen: str) -> Any:
    """Of experiments nothing is claimed of, all but their settings are trained by other files."""
    group, _, name = chosen.partition("=")
    file = CONF_DIR / group / f"{name}.yaml"
    unmeasured = group == "experiment" and "measured: no" in file.read_text()
    return pytest.param(chosen, marks=[pytest.mark.slow] if unmeasured else [])


@pytest.mark.parametrize("chosen", [when(choice) for choice in CHOICES])
def test_every_file_trains(chosen: str, short: list[str], tmp_path: Path) -> None:
    run(tmp_path / "run", [*words(chosen), *short, "buffer.capacity=10000"])


def test_backends_give_the_same_numbers(short: list[str], tmp_path: Path) -> None:
    """What `auto` stands for is written, of the backend and of the agent's precision."""
    line = ["env=gym", *COMPANY["env=gym"], *short, "agent.precision=auto"]
    for backend in ("native", "sync", "async", "auto"):
        run(tmp_path / backend, [*line, f"env.backend={backend}"])
        assert numbers(tmp_path / backend) == numbers(tmp_path / "native")
        written = OmegaConf.load(tmp_path / backend / "config.yaml")
        assert written.env.backend == ("native" if backend == "auto" else backend)
        assert written.agent.precision == "float32"  # of layers as narrow as these
