"""Real commands that a test file looks at, each run once, and what is read from their folders."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

Done = subprocess.CompletedProcess[str]

TINY_FILE = """
# @package _global_
env: {max_steps: 10}
agent: {hidden_sizes: [16]}
trainer: {total_steps: 300, learning_starts: 100, batch_size: 32, eval_every: 150,
          eval_episodes: 4, log_every: 100}
"""


class Lab:
    """Commands by name, each run once: the one asked for, and the next one ahead (two cores).

    A file names the commands that it looks at, so that none runs ahead for nobody.
    """

    def __init__(self, root: Path, run_cli: Any, tiny: list[str], names: Sequence[str]):
        self.root, self.run_cli = root, run_cli
        self.pool = ThreadPoolExecutor(2)
        self.tiny = [*tiny, "env.max_steps=10", "trainer.log_every=100"]
        (root / "mine" / "experiment").mkdir(parents=True)
        (root / "mine" / "experiment" / "tiny.yaml").write_text(TINY_FILE)
        experiment = ["--config-dir", str(root / "mine"), "experiment=tiny"]
        point = ["env=gym", "env.id=her_exp/PointReach-v0", "+env.max_steps=10"]
        commands = {
            "single": self.tiny,
            "sweep": ["-m", *experiment, "buffer.k=0,4", "seed=0,1", "sweep=grid"],
            "again": self.tiny,
            "variants": [
                "-m", *experiment, "sweep=variants", "trainer.picture=false",
                "trainer.eval_every=150,null,16", "trainer.log_every=100,40",
            ],
            "failing": [
                "-m", *self.tiny[:-2], *point, "sweep=failing",
                "env.reward_range=[-0.5,0],[-1,0]", "env.goal_distance=0.5,null",
            ],
            "stopped": [*self.tiny, "env.distance_threshold=5", "trainer.stop_at=0.99"],
        }  # fmt: skip
        self.commands = {name: commands[name] for name in names}
        self.futures: dict[str, Future[Done]] = {}

    def folder(self, name: str) -> Path:
        """Where a command runs: the run and the sweep that TensorBoard is to show, in one."""
        return self.root / ("shown" if name in ("single", "sweep") else name)

    def start(self, name: str) -> Future[Done]:
        if name not in self.futures:
            self.folder(name).mkdir(exist_ok=True)
            words, cwd = self.commands[name], self.folder(name)
            self.futures[name] = self.pool.submit(self.run_cli, *words, cwd=cwd)
        return self.futures[name]

    def __call__(self, name: str) -> Done:
        asked = self.start(name)
        names = list(self.commands)
        for other in names[names.index(name) + 1 :][:1]:
            self.start(other)
        return asked.result()

    def run(self, name: str) -> Path:
        """The folder of a single run that went well."""
        done = self(name)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.splitlines()[-1])

    def jobs(self, name: str) -> list[Path]:
        self(name)
        folder = self.folder(name) / "outputs" / "sweeps"
        return sorted(path for path in folder.glob("*/*") if path.is_dir())


def rows_of(folder: Path) -> list[tuple[int, str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["env_steps", "tag", "value"]
    return [(int(step), tag, float(value)) for step, tag, value in rows[1:]]


def by_tag(folder: Path) -> dict[str, list[tuple[int, float]]]:
    tags: dict[str, list[tuple[int, float]]] = {}
    for step, tag, value in rows_of(folder):
        tags.setdefault(tag, []).append((step, value))
    return tags


def policy_of(folder: Path, name: str = "last") -> Any:
    return torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)


def hparams_of(folder: Path) -> tuple[Any, Any]:
    """Return what a run's event file says of TensorBoard's table: its columns, the run's settings."""
    events = EventAccumulator(str(folder)).Reload()
    data = {
        tag: HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
        for tag in events.PluginTagToContent("hparams")
    }
    settings = data["_hparams_/session_start_info"].session_start_info.hparams
    return data["_hparams_/experiment"].experiment, settings
