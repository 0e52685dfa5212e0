"""A signal leaves a checkpoint of that moment; a second one stops at once."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from tests.commands.kill_kit import AUTO, assert_ends_as, cpu_seconds
from tests.commands.shell import Shell
from tests.commands.sweeps_kit import wait_for
from tests.runs.runs_kit import checkpoints, result_of


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_leaves_a_checkpoint_of_that_moment(
    number: signal.Signals, sh: Shell, never_killed: Path
) -> None:
    folder = sh.cwd / "run"
    child = sh.start(*AUTO)
    wait_for(lambda: checkpoints(folder))
    os.kill(child.pid, number)
    assert child.wait() == 128 + number
    result = result_of(folder)
    assert (result["status"], result["reason"]) == ("stopped", f"stopped by {number.name}")
    state = torch.load(checkpoints(folder)[-1], weights_only=True)
    assert state["record"]["env_steps"] == result["env_steps"]
    # At a barrier's own step the barrier's seed says all.
    assert state["envs"]["kind"] in ("exact", "barrier")
    told = sh.told()
    assert "Traceback" not in told
    assert told.endswith(f"stopped by {number.name}; go on with resume={folder}\n")
    sh.done("resume=run")  # the words that it says
    assert_ends_as(never_killed, folder)
    (note,) = json.loads((folder / "run.json").read_text())["resumes"]
    assert note["env_steps"] == result["env_steps"]


#: A checkpoint that never ends.
LINGER = """
import time, torch
from pathlib import Path
def linger(*args, **kwargs):
    Path("lingers").touch()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.01)
torch.save = linger
"""


def test_a_second_interrupt_stops_at_once(sh: Shell) -> None:
    child = sh.start(*AUTO, prelude=LINGER)
    wait_for((sh.cwd / "lingers").exists)
    deadline = time.monotonic() + 30
    while cpu_seconds(child.pid) < float("inf") and time.monotonic() < deadline:
        with suppress(ProcessLookupError):  # two signals at once count as one
            os.kill(child.pid, signal.SIGINT)
        time.sleep(0.05)
    assert child.wait() == 130
    assert "Traceback" not in sh.told()
    assert checkpoints(sh.cwd / "run") == []
