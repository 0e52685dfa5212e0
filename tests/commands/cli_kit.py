"""A real command that several test files look at, run once, and what is read from its folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tests.conftest import RunCli

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def short(tiny: list[str]) -> list[str]:
    """The overrides of the run."""
    return [*tiny, "env.max_steps=10", "trainer.log_every=100"]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli, short: list[str]) -> Done:
    """The command, as it ended."""
    return run_cli(*short, cwd=tmp_path_factory.mktemp("command"))


@pytest.fixture(scope="session")
def made(command: Done) -> Path:
    """The folder of the run."""
    assert command.returncode == 0, command.stderr
    return Path(command.stdout.splitlines()[-1])


def by_tag(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What `metrics.csv` holds."""
    tags: dict[str, list[tuple[int, float]]] = {}
    head, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert head == "env_steps,tag,value"
    for step, tag, value in (row.split(",") for row in rows):
        tags.setdefault(tag, []).append((int(step), float(value)))
    return tags


def policy_of(folder: Path, name: str = "last") -> Any:
    return torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)


def hparams_of(folder: Path) -> tuple[Any, Any]:
    """What a run's event file says of TensorBoard's table: its columns, the run's settings."""
    events = EventAccumulator(str(folder)).Reload()
    data = {
        tag: HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
        for tag in events.PluginTagToContent("hparams")
    }
    settings = data["_hparams_/session_start_info"].session_start_info.hparams
    return data["_hparams_/experiment"].experiment, settings
