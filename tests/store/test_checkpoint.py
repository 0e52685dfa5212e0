"""What reading a checkpoint costs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from her_exp.store.checkpoint import load, save


def own_memory() -> int:
    """Bytes of this process that are of no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_replay_is_not_held_twice(tmp_path: Path) -> None:
    """A run that fits into memory must also fit when it goes on."""
    n = 30_000_000
    save({"replay": torch.ones(n), "steps": 7}, tmp_path / "x.pt")
    before, ring = own_memory(), torch.zeros(n)
    ring.fill_(2.0)
    state = load(tmp_path / "x.pt")
    ring.copy_(state["replay"])
    held = own_memory() - before
    assert held < 1.5 * 4 * n
    assert state["steps"] == 7
    (tmp_path / "x.pt").unlink()  # as an old checkpoint goes while the run is on
    assert float(state["replay"].sum()) == n == float(ring.sum())
