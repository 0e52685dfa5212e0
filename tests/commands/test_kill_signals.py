"""A signal leaves a checkpoint of that moment; a second one stops at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from her_exp.store.checkpoint import load
from tests.commands.deaths import DEATHS, TOOLS
from tests.commands.forked_commands import Forks
from tests.commands.kill_kit import AUTO, assert_ends_as, cpu_seconds, err
from tests.runs.runs_kit import checkpoints, result_of


def wait_for(ready: Callable[[], bool], pid: int) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert cpu_seconds(pid) < float("inf"), "it ended before"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def runs_for(folder: Path, rows: int) -> Callable[[], bool]:
    """The run is well on its way: its first checkpoint is there."""
    return lambda: len(checkpoints(folder)) >= rows


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_leaves_a_checkpoint_of_that_moment(
    number: signal.Signals, forks: Forks, never_killed: Path, cwd: Path
) -> None:
    child = forks.start(AUTO, cwd)
    wait_for(runs_for(cwd / "run", 1), child.pid)
    os.kill(child.pid, number)
    assert child.wait() == 128 + number, err(cwd)
    result = result_of(cwd / "run")
    assert (result["status"], result["reason"]) == ("stopped", f"stopped by {number.name}")
    state = torch.load(checkpoints(cwd / "run")[-1], weights_only=True)
    assert state["record"]["env_steps"] == result["env_steps"]
    # At a barrier's own step the barrier's seed says all.
    assert state["envs"]["kind"] in ("exact", "barrier")
    assert "Traceback" not in err(cwd)
    advice = err(cwd).splitlines()[-1]
    assert advice == f"stopped by {number.name}; go on with resume={cwd / 'run'}"
    # The words that it says, and a stop of a run that went on.
    child = forks.start(["resume=run"], cwd)
    wait_for(lambda: '"resumes"' in (cwd / "run" / "run.json").read_text(), child.pid)
    assert child.wait() == 0, err(cwd)
    assert_ends_as(never_killed, cwd / "run")
    (note,) = json.loads((cwd / "run" / "run.json").read_text())["resumes"]
    assert note["env_steps"] == result["env_steps"]


SLOW_CHECKPOINT = """
import time, her_exp.training.trainer
from pathlib import Path
def linger(*args):
    Path("lingers").touch()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.01)
her_exp.training.trainer.Checkpoints.save = linger
"""


@pytest.mark.parametrize("again", [False, True])
def test_a_second_interrupt_stops_at_once(again: bool, forks: Forks, cwd: Path) -> None:
    """Also where the run is one that goes on; here it hangs in its checkpoint."""
    argv = AUTO
    if again:
        assert forks.run(AUTO, cwd, TOOLS + DEATHS["before the oldest state goes"]) < 0
        argv = ["resume=run"]
    kept = [path.read_bytes() for path in checkpoints(cwd / "run")]
    child = forks.start(argv, cwd, SLOW_CHECKPOINT)
    wait_for((cwd / "run" / "metrics.csv").exists, child.pid)
    wait_for((cwd / "lingers").exists, child.pid)
    os.kill(child.pid, signal.SIGINT)
    os.kill(child.pid, signal.SIGINT)
    wait_for_end = time.monotonic() + 30
    while cpu_seconds(child.pid) < float("inf") and time.monotonic() < wait_for_end:
        with suppress(ProcessLookupError):  # two signals at once count as one
            os.kill(child.pid, signal.SIGINT)
        time.sleep(0.05)
    assert child.wait() == 130, err(cwd)
    assert "Traceback" not in err(cwd)
    assert [path.read_bytes() for path in checkpoints(cwd / "run")] == kept


def test_ctrl_c_with_an_async_env(cwd: Path) -> None:
    """A terminal sends it to the workers as well, which must leave it to their parent."""
    words = [
        "env=gym", "env.id=her_exp/PointReach-v0", "env.backend=async", "env.num_envs=2",
        "env.num_eval_envs=2", "env.reward_range=[-1,0]", "trainer.total_steps=200000",
        "trainer.eval_every=null", "trainer.checkpoint_every=null", "trainer.updates_per_step=0",
    ]  # fmt: skip
    words = [*[w for w in AUTO if not w.startswith(("env.", "trainer.total", "trainer.eval_every",
             "trainer.check", "trainer.upd"))], *words]  # fmt: skip
    log = (cwd.parent / "err").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "her_exp.train", *words],
        cwd=cwd, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    metrics = cwd / "run" / "metrics.csv"
    try:
        wait_for(lambda: metrics.exists() and metrics.stat().st_size > 100, process.pid)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130, err(cwd)
    finally:
        log.close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
    assert "Traceback" not in err(cwd)
    assert result_of(cwd / "run")["status"] == "stopped"
    assert load(checkpoints(cwd / "run")[-1])["envs"] == {"kind": "cut"}
