"""Worker processes of an env that die or hang end the run in one line, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.run import resume, train
from her_exp.store.checkpoint import load
from her_exp.types import EnvFailed, UserError
from tests.runs.health_kit import RUN, Start, assert_kept
from tests.runs.runs_kit import assert_same_run, checkpoints, result_of

SLOW = ["env.backend=async", "+env.pause=0.01", "trainer.total_steps=2000"]


def test_a_worker_that_is_killed(folder: Path, start: Start) -> None:
    """The run goes on exactly from its last checkpoint."""
    command = start(*SLOW)
    command.until(lambda: len(checkpoints(folder)) > 0)
    workers = command.workers()
    assert len(workers) == 4  # two for training, two for evaluation
    os.kill(workers[1], signal.SIGKILL)
    reason = command.fails("env: the process of lane 1 died during step (SIGKILL: out of memory")
    assert "\n" not in reason
    assert "Traceback" not in command.err
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    kept = load(checkpoints(folder)[-1])["record"]["env_steps"]
    assert 0 <= result_of(folder)["env_steps"] - kept <= 40

    shorter = [f"trainer.total_steps={kept + 40}"]
    resume(folder, shorter, trust=["tests"])
    train(compose([*RUN, *SLOW, *shorter]), folder.parent / "whole")
    assert_same_run(folder, folder.parent / "whole")


def test_a_worker_that_ends_itself(folder: Path) -> None:
    with pytest.raises(EnvFailed, match=r"lane 0.* died during step \(SIGKILL"):
        train(compose([*RUN, "env.backend=async", "+env.fault=die"]), folder)
    assert_kept(folder)


@pytest.mark.parametrize("fault", ["hang", "hang_reset"])
def test_an_env_that_hangs(fault: str, folder: Path, start: Start) -> None:
    # The reset of a lane is part of a step; a barrier's is one of its own.
    steps = ["+env.at=20"] if fault == "hang_reset" else []
    command = start("env.backend=async", "env.timeout=4", f"+env.fault={fault}", *steps)
    call = "reset" if fault == "hang_reset" else "step"
    command.fails(f"env: {call} of lane 0, 1 gave no answer within 4 s (env.timeout)")
    assert "Traceback" not in command.err
    if fault == "hang":
        assert_kept(folder)


def test_an_evaluation_that_hangs(folder: Path) -> None:
    # Two lanes play an episode of 10 steps each, and reset once: the third evaluation hangs.
    overrides = ["env.backend=async", "env.timeout=4", "+env.fault=hang", "+env.at=25"]
    overrides += ["trainer.eval_every=4", "env.num_envs=1", "trainer.checkpoint_every=20"]
    with pytest.raises(EnvFailed, match="step of lane 0, 1 gave no answer within 4 s"):
        train(compose([*RUN, *overrides]), folder)
    assert result_of(folder)["status"] == "failed"
    assert result_of(folder)["eval"]["episodes"] == 2


def test_a_signal_while_an_env_hangs(folder: Path, start: Start) -> None:
    """It does not wait for the timeout, which may be long."""
    command = start("env.backend=async", "env.timeout=600", "+env.fault=hang")
    command.until(Path("faulty").exists)
    workers = command.workers()
    os.killpg(command.process.pid, signal.SIGTERM)  # as a scheduler does: the workers too
    assert command.process.wait(60) == 128 + signal.SIGTERM, command.err
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert result_of(folder)["status"] == "stopped"
    assert_kept(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_to_all_processes_leaves_a_checkpoint(
    number: signal.Signals, folder: Path, start: Start
) -> None:
    """Ctrl-C of a terminal, a scheduler: workers leave it to the run, which then stops as it should."""
    command = start(*SLOW)
    command.until(lambda: len(checkpoints(folder)) > 0)
    time.sleep(0.3)  # into the steps after it
    os.killpg(command.process.pid, number)
    assert command.process.wait(60) == 128 + number, command.err
    result = result_of(folder)
    assert (result["status"], result["reason"]) == ("stopped", f"stopped by {number.name}")
    assert load(checkpoints(folder)[-1])["record"]["env_steps"] == result["env_steps"]
    assert "Traceback" not in command.err


def test_waiting_counts_only_while_the_run_itself_runs(folder: Path, start: Start) -> None:
    """One that was suspended for an hour finds its workers a bit late, and not hung."""
    words = ["env.backend=async", "env.timeout=2", "+env.pause=0.1", "trainer.total_steps=80"]
    command = start(*words)
    command.until(lambda: len(checkpoints(folder)) > 0)
    time.sleep(0.25)  # into the steps after it
    os.killpg(command.process.pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(command.process.pid, signal.SIGCONT)
    time.sleep(0.3)
    os.killpg(command.process.pid, signal.SIGCONT)
    assert command.process.wait(60) == 0, command.err


def test_timeout_is_for_workers_only() -> None:
    line = "env.timeout=5: only worker processes can be interrupted, and env.backend={} has none"
    for backend, resolved in (("sync", "sync"), ("native", "native"), ("auto", "native")):
        with pytest.raises(UserError, match=line.format(resolved)):
            GoalTask("her_exp/PointReach-v0", backend=backend, timeout=5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"env\.timeout=0.*must be > 0"):
        validate(compose([*RUN, "env.backend=async", "env.timeout=0"]))
    assert GoalTask("her_exp/PointReach-v0", backend="async").timeout == 60
