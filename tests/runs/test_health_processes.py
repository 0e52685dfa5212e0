"""A run whose env fails, or whose worker processes die or hang, ends in one line, and nothing of it stays."""

from __future__ import annotations

import multiprocessing
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
from her_exp.training.build import make_trainer
from her_exp.types import EnvFailed, UserError
from tests.runs.broken_envs import Line
from tests.runs.health_kit import RUN, Start, assert_kept
from tests.runs.runs_kit import assert_same_run, checkpoints, result_of

SLOW = ["env.backend=async", "+env.pause=0.01", "trainer.total_steps=2000"]


RAISED = "of lane 0 raised ValueError: lost"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("env.backend=sync +env.fault=raise", RAISED),
        ("env.backend=async +env.fault=raise", RAISED),
        ("env.backend=async +env.fault=no_lanes", "died while it was made (exit code 1)"),
    ],
)
def test_what_ended_the_run(words: str, reason: str, start: Start) -> None:
    command = start(*words.split())
    command.fails(reason)
    # What the env raised is in the log, where to look for it; of all else one line says all.
    log = (command.folder / "run.log").read_text()
    assert ("Traceback" in log) == (reason == RAISED)
    assert ('raise ValueError("lost the %s thread")' in log) == (reason == RAISED)


def test_a_worker_that_is_killed(start: Start, tmp_path: Path) -> None:
    """The run goes on exactly from its last checkpoint."""
    command = start(*SLOW)
    folder = command.folder
    command.until(lambda: checkpoints(folder))
    workers = command.workers()
    assert len(workers) == 4  # two for training, two for evaluation
    os.kill(workers[1], signal.SIGKILL)
    told = command.fails("env: the process of lane 1 died during step (SIGKILL: out of memory")
    assert "Traceback" not in told
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    kept = load(checkpoints(folder)[-1])["record"]["env_steps"]
    assert 0 <= result_of(folder)["env_steps"] - kept <= 40

    shorter = [f"trainer.total_steps={kept + 40}"]
    resume(folder, shorter, trust=["tests"])
    train(compose([*RUN, *SLOW, *shorter]), tmp_path / "whole")
    assert_same_run(folder, tmp_path / "whole")


@pytest.mark.parametrize("fault", ["hang", "hang_reset"])
def test_an_env_that_hangs(fault: str, start: Start) -> None:
    # The reset of a lane is part of a step; a barrier's is one of its own.
    steps = ["+env.at=20"] if fault == "hang_reset" else []
    command = start("env.backend=async", "env.timeout=4", f"+env.fault={fault}", *steps)
    call = "reset" if fault == "hang_reset" else "step"
    told = command.fails(f"env: {call} of lane 0, 1 gave no answer within 4 s (env.timeout)")
    assert "Traceback" not in told
    if fault == "hang":
        assert_kept(command.folder)


def test_an_evaluation_that_hangs(folder: Path) -> None:
    # Two lanes play an episode of 10 steps each, and reset once: the third evaluation hangs.
    overrides = ["env.backend=async", "env.timeout=4", "+env.fault=hang", "+env.at=25"]
    overrides += ["trainer.eval_every=4", "env.num_envs=1", "trainer.checkpoint_every=20"]
    with pytest.raises(EnvFailed, match="step of lane 0, 1 gave no answer within 4 s"):
        train(compose([*RUN, *overrides]), folder)
    assert result_of(folder)["status"] == "failed"
    assert result_of(folder)["eval"]["episodes"] == 2


def test_a_signal_while_an_env_hangs(start: Start) -> None:
    """It does not wait for the timeout, which may be long."""
    command = start("env.backend=async", "env.timeout=600", "+env.fault=hang")
    command.until((command.sh.cwd / "faulty").exists)
    workers = command.workers()
    os.killpg(command.pid, signal.SIGTERM)  # as a scheduler does: the workers too
    assert command.wait() == 128 + signal.SIGTERM, command.sh.told()
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert result_of(command.folder)["status"] == "stopped"
    assert_kept(command.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_to_all_processes_leaves_a_checkpoint(
    number: signal.Signals, start: Start
) -> None:
    """Ctrl-C of a terminal, a scheduler: workers leave it to the run, which then stops as it should."""
    command = start(*SLOW)
    command.until(lambda: checkpoints(command.folder))
    time.sleep(0.3)  # into the steps after it
    os.killpg(command.pid, number)
    assert command.wait() == 128 + number, command.sh.told()
    result = result_of(command.folder)
    assert (result["status"], result["reason"]) == ("stopped", f"stopped by {number.name}")
    saved = load(checkpoints(command.folder)[-1])["record"]
    assert saved["env_steps"] == result["env_steps"]
    assert "Traceback" not in command.sh.told()


def test_waiting_counts_only_while_the_run_itself_runs(start: Start) -> None:
    """One that was suspended for an hour finds its workers a bit late, and not hung."""
    words = ["env.backend=async", "env.timeout=2", "+env.pause=0.1", "trainer.total_steps=80"]
    command = start(*words)
    command.until(lambda: checkpoints(command.folder))
    time.sleep(0.25)  # into the steps after it
    os.killpg(command.pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(command.pid, signal.SIGCONT)
    time.sleep(0.3)
    os.killpg(command.pid, signal.SIGCONT)
    assert command.wait() == 0, command.sh.told()


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_nothing_stays_open_where_making_fails(backend: str, folder: Path) -> None:
    Line.alive.clear()
    folder.mkdir()
    (folder / "metrics.csv").mkdir()  # the logger, which comes last, cannot open it
    with pytest.raises(IsADirectoryError):
        make_trainer(compose([*RUN, f"env.backend={backend}"]), folder)
    assert Line.alive == []
    assert multiprocessing.active_children() == []


def test_timeout_is_for_workers_only() -> None:
    line = (
        "env.timeout=5: only worker processes can be interrupted, and env.backend=native has none"
    )
    with pytest.raises(UserError, match=line):
        GoalTask("her_exp/PointReach-v0", timeout=5)
    with pytest.raises(UserError, match=r"env\.timeout=0.*must be > 0"):
        validate(compose([*RUN, "env.backend=async", "env.timeout=0"]))
    assert GoalTask("her_exp/PointReach-v0", backend="async").timeout == 60
