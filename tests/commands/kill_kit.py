"""The run that is killed, stopped or short of disk, and what holds where it went on to its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from her_exp.store.checkpoint import load
from tests.commands.forked_commands import Forks
from tests.runs.runs_kit import assert_same_run, checkpoints

RUN = [
    "trainer.total_steps=600", "trainer.learning_starts=60", "trainer.batch_size=16",
    "trainer.updates_per_step=0.3", "trainer.eval_every=130", "trainer.eval_episodes=2",
    "trainer.log_every=70", "trainer.checkpoint_every=150",
    "trainer.short_checkpoints=true", "agent.random_steps=100",
    "agent.hidden_sizes=[8]", "env.max_steps=10", "buffer.capacity=160",
]  # fmt: skip
AUTO = ["resume=auto", "run_dir=run", *RUN]


@pytest.fixture(scope="session")
def never_killed(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was never killed."""
    root = tmp_path_factory.mktemp("never_killed")
    assert forks.run(AUTO, root / "cwd") == 0, (root / "err").read_text()
    return root / "cwd" / "run"


def assert_ends_as(whole: Path, folder: Path) -> None:
    """The same numbers, policies and last state as the run that was never killed."""
    assert_same_run(whole, folder)
    assert [p.name for p in checkpoints(folder)] == [p.name for p in checkpoints(whole)]
    assert_sound(folder)
    assert not list(folder.rglob("*.tmp"))
    assert os.listdir(folder.parent) == [folder.name]


def assert_sound(folder: Path) -> None:
    """No checkpoint is broken."""
    assert checkpoints(folder)
    for path in checkpoints(folder):
        load(path)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process: a moment in it does not move with the load of the machine."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return float("inf")
    if fields[0] in "ZX":
        return float("inf")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
