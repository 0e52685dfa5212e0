"""Checkpoints on the disk: what stays of them, and what reading one costs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from her_exp.store.checkpoint import Checkpoints, load, save


def test_the_part_of_a_write_that_was_killed_does_not_stay(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, keep=2)
    kept.save({"a": 1}, 100)
    (tmp_path / "state_000000000150.pt.tmp").write_bytes(b"half")
    (tmp_path / "mine.tmp").write_bytes(b"somebody's")
    with pytest.raises(TypeError):  # it goes before the next write, which may need its room
        kept.save({"a": (nothing for nothing in ())}, 300)
    assert not (tmp_path / "state_000000000150.pt.tmp").exists()
    kept.save({"a": 2}, 200)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["mine.tmp", "state_000000000100.pt", "state_000000000200.pt"]


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
