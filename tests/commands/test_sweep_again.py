"""A sweep's command run again: done jobs are skipped, stopped ones go on, failed ones are retried."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.commands.deaths import TOOLS
from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import TINY, job, status, table, wait_for, words
from tests.runs.runs_kit import checkpoints, numbers

SWEEP = ["-m", *TINY, "seed=0,1,2", "sweep=grid"]

#: seed 1 fails while it learns, seed 2 is killed after its second checkpoint.
SPOIL = (
    TOOLS
    + """
from her_exp.training.trainer import Trainer
def spoil(trainer):
    seed = trainer.hparams.settings["seed"]
    if seed == 1 and trainer.record.env_steps >= WHEN:
        raise RuntimeError("the dog ate it")
    if seed == 2 and trainer.record.env_steps >= 250 and DIE:
        die()
around(Trainer, "_collect", before=spoil)
"""
)


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that went well; its folder."""
    root = tmp_path_factory.mktemp("whole")
    assert forks.run(SWEEP, root / "cwd") == 0, (root / "err").read_text()
    return root / "cwd" / "outputs" / "sweeps" / "grid"


def test_a_sweep_run_again(forks: Forks, whole: Path, cwd: Path) -> None:
    folder = cwd / "outputs" / "sweeps" / "grid"
    spoil = SPOIL.replace("WHEN", "50").replace("DIE", "True")
    assert forks.run(SWEEP, cwd, spoil) == -signal.SIGKILL
    assert [status(job(folder, seed)) for seed in range(3)] == ["done", "failed", "running"]
    before = {path: path.read_bytes() for path in job(folder, 0).glob("*.*") if path.is_file()}
    words(cwd), words(cwd, "out")

    # Seed 1 fails again, now later; the others are what they should be.
    spoil = SPOIL.replace("WHEN", "120").replace("DIE", "False")
    assert forks.run(SWEEP, cwd, spoil) == 1
    text = words(cwd)
    assert table(text) == {"0": "skipped", "1": "failed", "2": "resumed"}
    lines = text.splitlines()
    (row,) = (line for line in lines if line.startswith("failed"))
    assert "RuntimeError: the dog ate it" in row
    log = re.search(r"\((.*run\.log)\)", row)
    assert log is not None
    assert "Traceback" in Path(log[1]).read_text()
    assert "1 failed, 1 resumed, 1 skipped" in lines
    assert lines[-1] == "her_exp: error: 1 of the sweep's jobs failed, see its run.log"
    assert [status(job(folder, seed)) for seed in range(3)] == ["done", "failed", "done"]

    # Now it is let be: it goes on from its checkpoint.
    assert forks.run(SWEEP, cwd) == 0
    text = words(cwd)
    assert table(text) == {"0": "skipped", "1": "resumed", "2": "skipped"}
    assert "1 resumed, 2 skipped" in text.splitlines()
    assert words(cwd, "out").splitlines()[-1] == str(folder)
    for seed in range(3):
        assert numbers(job(folder, seed)) == numbers(job(whole, seed))
        assert status(job(folder, seed)) == "done"
    # `run.log` alone gains a line or none.
    now = {path: path.read_bytes() for path in before}
    assert {p.name for p in before if now[p] != before[p]} <= {"run.log"}

    assert forks.run(SWEEP, cwd) == 0
    assert table(words(cwd)) == dict.fromkeys("012", "skipped")
    # More of the same sweep: what is there stays.
    assert forks.run([*SWEEP[:-2], "seed=0,1,2,3", "sweep=grid"], cwd) == 0
    expected = dict.fromkeys("012", "skipped") | {"3": "done"}
    assert table(words(cwd)) == expected
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 4
    assert os.listdir(cwd) == ["outputs"]


def test_a_job_that_never_got_to_a_checkpoint(forks: Forks, whole: Path, cwd: Path) -> None:
    """Killed and failed before: they begin anew."""
    folder = cwd / "outputs" / "sweeps" / "grid"
    die = SPOIL.replace("WHEN", "50").replace("DIE", "True").replace("250", "90")
    assert forks.run(SWEEP, cwd, die) == -signal.SIGKILL
    assert not any(checkpoints(job(folder, seed)) for seed in (1, 2))
    words(cwd)
    assert forks.run(SWEEP, cwd) == 0
    assert table(words(cwd)) == {"0": "skipped", "1": "done", "2": "done"}
    for seed in range(3):
        assert numbers(job(folder, seed)) == numbers(job(whole, seed))


def test_a_sweep_that_is_stopped_by_a_signal(forks: Forks, whole: Path, cwd: Path) -> None:
    folder = cwd / "outputs" / "sweeps" / "grid"
    child = forks.start(SWEEP, cwd)
    wait_for(lambda: list(folder.glob("*seed=1*/checkpoints/state_*.pt")))
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait() == 128 + signal.SIGTERM
    text = words(cwd)
    assert table(text) == {"0": "done", "1": "stopped"}
    assert status(job(folder, 1)) == "stopped"
    assert not list(folder.glob("*seed=2*/result.json"))
    assert forks.run(SWEEP, cwd) == 0
    assert table(words(cwd)) == {"0": "skipped", "1": "resumed", "2": "done"}
    for seed in range(3):
        assert numbers(job(folder, seed)) == numbers(job(whole, seed))


def test_a_job_with_a_users_own_package_goes_on(forks: Forks, cwd: Path) -> None:
    """It was named on the very command that is run again: that is trust enough."""
    package = cwd.parent / "cwd" / "ourpack.py"
    package.write_text(
        "import gymnasium\n"
        "from her_exp.envs.tasks.point_reach import PointReachEnv, PointReachVectorEnv\n"
        "gymnasium.register('ourpack/Reach-v0', PointReachEnv,\n"
        "                   vector_entry_point=PointReachVectorEnv)\n"
    )
    path = f"import sys; sys.path.insert(0, {str(cwd)!r})\n"
    sweep = [*SWEEP, "env.imports=[ourpack]", "env.id=ourpack/Reach-v0"]
    spoil = SPOIL.replace("WHEN", "250").replace("DIE", "True")
    assert forks.run(sweep, cwd, path + spoil) == -signal.SIGKILL
    words(cwd)
    assert forks.run(sweep, cwd, path) == 0, words(cwd)
    assert table(words(cwd)) == {"0": "skipped", "1": "resumed", "2": "resumed"}
