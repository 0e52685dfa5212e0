"""Real commands that test files look at, each run once, and what is read from their folders."""

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


class Lab:
    """Commands by name, each run when it is first asked for."""

    def __init__(self, root: Path, run_cli: RunCli, tiny: list[str]):
        self.root, self.run_cli, self.ran = root, run_cli, dict[str, Done]()
        self.tiny = [*tiny, "env.max_steps=10", "trainer.log_every=100"]
        point = ["env=gym", "env.id=her_exp/PointReach-v0", "+env.max_steps=10"]
        own = [w for w in self.tiny if not w.startswith(("trainer.eval_every", "trainer.log"))]
        self.commands = {
            "single": self.tiny,
            "sweep": ["-m", *self.tiny, "buffer.k=0,4", "seed=0,1", "sweep=grid"],
            "variants": [
                "-m", *own, "sweep=variants", "trainer.picture=false",
                "trainer.eval_every=150,null,16", "trainer.log_every=100,40",
            ],
            "failing": [
                "-m", *self.tiny[:-2], *point, "sweep=failing",
                "env.reward_range=[-0.5,0],[-1,0]", "env.goal_distance=0.5,null",
            ],
            "stopped": [*self.tiny, "env.distance_threshold=5", "trainer.stop_at=0.99"],
        }  # fmt: skip

    def folder(self, name: str) -> Path:
        """Where a command runs: the run and the sweep that TensorBoard is to show, in one."""
        return self.root / ("shown" if name in ("single", "sweep") else name)

    def __call__(self, name: str) -> Done:
        if name not in self.ran:
            self.folder(name).mkdir(exist_ok=True)
            self.ran[name] = self.run_cli(*self.commands[name], cwd=self.folder(name))
        return self.ran[name]

    def run(self, name: str) -> Path:
        """The folder of a single run that went well."""
        done = self(name)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.splitlines()[-1])

    def jobs(self, name: str) -> list[Path]:
        self(name)
        folder = self.folder(name) / "outputs" / "sweeps"
        return sorted(path for path in folder.glob("*/*") if path.is_dir())


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli, tiny: list[str]) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), run_cli, tiny)


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
