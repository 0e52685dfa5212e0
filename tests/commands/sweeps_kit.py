"""What the tests of sweeps share: settings of their jobs, an agent that fails, what was printed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.runs.runs_kit import numbers

TINY = [
    "trainer.total_steps=300", "trainer.learning_starts=60", "trainer.batch_size=16",
    "trainer.updates_per_step=0.2", "trainer.eval_every=130", "trainer.eval_episodes=2",
    "trainer.checkpoint_every=100",
    "trainer.short_checkpoints=true", "trainer.picture=false", "agent.hidden_sizes=[8]",
    "env.max_steps=10",
]  # fmt: skip

BROKEN = """
from her_exp.agents.ddpg import DDPG

class Broken(DDPG):
    def update(self, batch):
        if self.noise_std == 0.3:
            raise RuntimeError("too noisy")
        return super().update(batch)
"""


def words(cwd: Path, name: str = "err") -> str:
    """What was printed since the last call."""
    path = cwd.parent / name
    text = path.read_text()
    path.write_text("")
    return text


def job(folder: Path, seed: int) -> Path:
    (path,) = folder.glob(f"*seed={seed}*")
    return path


def status(folder: Path) -> str:
    return str(json.loads((folder / "result.json").read_text())["status"])


def assert_same(folder: Path, whole: Path) -> None:
    """The sweep of three seeds is the one that nothing disturbed."""
    for seed in range(3):
        assert numbers(job(folder, seed)) == numbers(job(whole, seed))
        assert status(job(folder, seed)) == "done"


def table(text: str) -> dict[str, str]:
    """From the last lines on stderr: seed to what became of its job."""
    kinds = "done|skipped|resumed|stopped|failed|killed|running"
    return {seed: kind for kind, seed in re.findall(rf"^({kinds}) +\S*seed=(\d)\S* ", text, re.M)}


def wait_for(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)
