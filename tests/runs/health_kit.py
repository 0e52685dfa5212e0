"""A short run of an env that goes wrong on demand, its command, and what must be left of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from her_exp.store.checkpoint import load
from tests.commands.kill_kit import cpu_seconds
from tests.commands.shell import Shell
from tests.commands.sweeps_kit import wait_for
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
#: In the child: a process group of its own, where our envs are found.
OWN = f"import os, sys; os.setsid(); sys.path.insert(0, {str(ROOT)!r})"


class Command:
    """The real command in a process group of its own."""

    def __init__(self, sh: Shell, *words: str):
        self.sh, self.folder, self.code = sh, sh.cwd / "run", None
        self.child = sh.start(*RUN, "hydra.run.dir=run", *words, prelude=OWN)
        self.pid = self.child.pid

    def wait(self) -> int:
        if self.code is None:
            self.code = self.child.wait()
        return self.code

    def until(self, ready: Callable[[], object]) -> None:
        wait_for(lambda: ready() or cpu_seconds(self.pid) == float("inf"))
        assert ready(), self.sh.told()

    def workers(self) -> list[int]:
        """Its processes, in the order in which they began."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def fails(self, reason: str) -> str:
        """It ends with one line, which `result.json` holds as well; nothing of it stays."""
        assert self.wait() == 1, self.sh.told()
        with pytest.raises(ProcessLookupError):
            os.killpg(self.pid, 0)
        told, result = self.sh.told(), result_of(self.folder)
        assert result["status"] == "failed"
        assert reason in result["reason"]
        assert told.splitlines()[-1] == f"her_exp: error: {result['reason']}"
        assert "leaked" not in told
        return told


@pytest.fixture
def start(sh: Shell) -> Iterator[Start]:
    """Start the real command with these words; what is left of it ends with the test."""
    started: list[Command] = []

    def begin(*words: str) -> Command:
        started.append(Command(sh, *words))
        return started[-1]

    yield begin
    for command in started:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        command.wait()
