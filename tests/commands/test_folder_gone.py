"""A run folder, or a file in it, that is moved, deleted or replaced while the run is on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import TINY, wait_for, words
from tests.runs.runs_kit import checkpoints, result_of


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_run_folder_that_goes_during_the_run(how: str, forks: Forks, cwd: Path) -> None:
    """The run ends with a line; what was moved goes on elsewhere, and nothing is left in the old place."""
    argv = ["resume=auto", "run_dir=run", *TINY[1:], "trainer.total_steps=100000"]
    child = forks.start(argv, cwd)
    wait_for(lambda: checkpoints(cwd / "run"))
    (cwd / "run").rename(cwd / "moved")
    if how == "deleted":
        os.system(f"rm -r {cwd / 'moved'}")
    began = time.monotonic()
    assert child.wait() == 1
    assert time.monotonic() - began < 60
    said = words(cwd)
    assert "Traceback" not in said
    assert not (cwd / "run").exists()
    if how == "moved":
        status = json.loads((cwd / "moved/result.json").read_text())["status"]
        assert status == "running"
        steps = "trainer.total_steps=" + checkpoints(cwd / "moved")[-1].stem.rpartition("_")[2]
        assert forks.run(["resume=moved", steps.replace("=0", "=1", 1)], cwd, STOP) in (0, 138)


STOP = f"""
import os, signal, threading
threading.Timer(3, lambda: os.kill(os.getpid(), {int(signal.SIGUSR1)})).start()
"""


def test_a_run_whose_place_another_takes(forks: Forks, cwd: Path) -> None:
    """The other's result is not touched."""
    argv = ["resume=auto", "run_dir=run", *TINY[1:]]
    assert forks.run([*argv, "trainer.total_steps=120"], cwd) == 0
    (cwd / "run").rename(cwd / "other")
    child = forks.start([*argv, "trainer.total_steps=100000"], cwd)
    wait_for(lambda: checkpoints(cwd / "run"))
    (cwd / "run").rename(cwd / "moved")
    (cwd / "other").rename(cwd / "run")
    before = {path: path.read_bytes() for path in (cwd / "run").rglob("*") if path.is_file()}
    words(cwd)
    assert child.wait() == 1
    assert "the run folder is gone: moved, deleted or replaced" in words(cwd)
    now = {path: path.read_bytes() for path in (cwd / "run").rglob("*") if path.is_file()}
    assert {path for path in before if now[path] != before[path]} == set()


MOVED = """
import os, torch
own = torch.save
def save(*given):
    own(*given)
    if os.path.exists("run"):
        os.rename("run", "moved")
torch.save = save
"""


def test_a_run_that_is_moved_in_the_midst_of_a_checkpoint(forks: Forks, cwd: Path) -> None:
    """Between the writing of the file and its renaming."""
    argv = ["resume=auto", "run_dir=run", *TINY[1:], "trainer.total_steps=100000"]
    assert forks.run(argv, cwd, MOVED) == 1
    last = words(cwd).splitlines()[-1]
    assert "the run folder is gone: moved, deleted or replaced" in last


def test_metrics_that_are_taken_away(forks: Forks, cwd: Path) -> None:
    """All rows would be lost, and the run be done."""
    child = forks.start(
        ["resume=auto", "run_dir=run", *TINY[1:], "trainer.total_steps=100000"], cwd
    )
    wait_for(lambda: checkpoints(cwd / "run"))
    (cwd / "run/metrics.csv").unlink()
    assert child.wait() == 1
    assert "metrics.csv: was removed or replaced while the run was on" in words(cwd)
    assert result_of(cwd / "run")["status"] == "failed"
