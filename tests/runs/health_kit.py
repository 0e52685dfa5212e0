"""A short run of an env that goes wrong on demand, its command, and what must be left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from her_exp.store.checkpoint import load
from tests.runs.runs_kit import checkpoints, result_of

ROOT = Path(__file__).parents[2]
#: Two lanes of 10 steps; a lane's step 31 lies between the checkpoints at 40 and 80.
RUN = [
    "env=gym", "env.id=broken/Line-v0", "env.imports=[tests.runs.broken_envs]", "env.reward_range=[-1,0]",
    "env.num_envs=2", "env.num_eval_envs=2", "trainer.total_steps=120", "trainer.batch_size=16",
    "trainer.learning_starts=20", "trainer.updates_per_step=0.3", "trainer.checkpoint_every=40",
    "trainer.eval_every=null", "trainer.eval_episodes=2", "trainer.log_every=20",
    "trainer.picture=false", "agent.hidden_sizes=[8]", "agent.random_steps=20",
]  # fmt: skip


def finite(state: Any) -> bool:
    if isinstance(state, dict | list):
        return all(map(finite, state.values() if isinstance(state, dict) else state))
    floats = isinstance(state, torch.Tensor) and state.is_floating_point()
    return not floats or bool(state.isfinite().all())


def assert_kept(folder: Path, newest: int = 40) -> None:
    """The newest checkpoint is the one before the failure, whole and sane."""
    state = load(checkpoints(folder)[-1])
    assert state["record"]["env_steps"] == newest
    assert finite({part: state[part] for part in ("agent", "buffer", "record")})


Start = Callable[..., "Command"]


class Command:
    """The real command in a process group of its own."""

    def __init__(self, folder: Path, *words: str):
        folder.parent.mkdir(exist_ok=True)
        self.folder, self._err = folder, folder.parent / "err"
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "her_exp.train", *RUN, f"hydra.run.dir={folder}", *words],
                cwd=folder.parent, env=os.environ | {"PYTHONPATH": path}, stderr=err,
                stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def err(self) -> str:
        return self._err.read_text()

    def until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not ready():
            assert self.process.poll() is None, self.err
            assert time.monotonic() < deadline, self.err
            time.sleep(0.01)

    def workers(self) -> list[int]:
        """Its processes, in the order in which they began."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def fails(self, reason: str, code: int = 1) -> str:
        """It ends with one line, which `result.json` holds as well; nothing of it stays."""
        assert self.process.wait(120) == code, self.err
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)
        result = result_of(self.folder)
        assert result["status"] == "failed"
        assert reason in result["reason"]
        assert self.err.splitlines()[-1] == f"her_exp: error: {result['reason']}"
        assert "leaked" not in self.err
        return str(result["reason"])


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start the real command with these words; what is left of it ends with the test."""
    started: list[Command] = []

    def begin(*words: str) -> Command:
        started.append(Command(folder, *words))
        return started[-1]

    yield begin
    for command in started:
        with suppress(ProcessLookupError):
            os.killpg(command.process.pid, signal.SIGKILL)
        command.process.wait(10)
