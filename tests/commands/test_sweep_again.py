"""A sweep's command run again: done jobs are skipped, stopped ones go on, failed ones are retried."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.commands.deaths import TOOLS
from tests.commands.forked_commands import Forks
from tests.commands.shell import Shell
from tests.commands.sweeps_kit import TINY, assert_same, job, status, table, wait_for
from tests.runs.runs_kit import checkpoints

SWEEP = ["-m", *TINY, "seed=0,1,2", "sweep=grid"]
GRID = "outputs/sweeps/grid"
NEVER = 10**9


def spoil(fails: int = NEVER, dies: int = NEVER) -> str:
    """Code in which seed 1 fails, and seed 2 is killed, after so many env steps."""
    return f"""{TOOLS}
from her_exp.training.trainer import Trainer
def spoil(trainer):
    seed, steps = trainer.hparams.settings["seed"], trainer.record.env_steps
    if seed == 1 and steps >= {fails}:
        raise RuntimeError("the dog ate it")
    if seed == 2 and steps >= {dies}:
        die()
around(Trainer, "_collect", before=spoil)
"""


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sweep that went well."""
    root = tmp_path_factory.mktemp("whole")
    assert forks.run(SWEEP, root / "cwd") == 0, (root / "err").read_text()
    return root / "cwd" / GRID


def test_a_sweep_run_again(sh: Shell, whole: Path) -> None:
    folder = sh.cwd / GRID
    assert sh(*SWEEP, prelude=spoil(fails=50, dies=250)) == -signal.SIGKILL
    assert [status(job(folder, seed)) for seed in range(3)] == ["done", "failed", "running"]
    before = {path: path.read_bytes() for path in job(folder, 0).glob("*.*") if path.is_file()}
    sh.told(), sh.told("out")

    # Seed 1, which has no checkpoint, begins anew and fails later; the others are what they should be.
    assert not checkpoints(job(folder, 1))
    assert sh(*SWEEP, prelude=spoil(fails=120)) == 1
    text = sh.told()
    assert table(text) == {"0": "skipped", "1": "failed", "2": "resumed"}
    lines = text.splitlines()
    (row,) = (line for line in lines if line.startswith("failed"))
    assert "RuntimeError: the dog ate it" in row
    log = re.search(r"\((.*run\.log)\)", row)
    assert log is not None
    assert "Traceback" in Path(log[1]).read_text()
    assert "1 failed, 1 resumed, 1 skipped" in lines
    assert lines[-1] == "her_exp: error: 1 of the sweep's jobs failed, see its run.log"

    # Now it is let be: it goes on from its checkpoint.
    text = sh.done(*SWEEP)
    assert table(text) == {"0": "skipped", "1": "resumed", "2": "skipped"}
    assert "1 resumed, 2 skipped" in text.splitlines()
    assert sh.told("out").splitlines()[-1] == str(folder)
    assert_same(folder, whole)
    command = (job(folder, 1) / "run.json").read_text()
    assert "sweep=grid" in command
    assert "exclude_keys" not in command  # which nobody has typed
    # `run.log` alone gains a line or none.
    assert {p.name for p in before if p.read_bytes() != before[p]} <= {"run.log"}

    # More of the same sweep: what is there stays.
    more = sh.done(*SWEEP[:-2], "seed=0,1,2,3", "sweep=grid")
    assert table(more) == dict.fromkeys("012", "skipped") | {"3": "done"}
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 4
    assert os.listdir(sh.cwd) == ["outputs"]


OURS = """
import gymnasium
from her_exp.envs.tasks.point_reach import PointReachEnv, PointReachVectorEnv
gymnasium.register('ourpack/Reach-v0', PointReachEnv, vector_entry_point=PointReachVectorEnv)
"""


def test_a_sweep_that_is_stopped_by_a_signal(sh: Shell, whole: Path) -> None:
    """A user's own package was named on the very command that is run again: that is trust enough."""
    (sh.cwd / "ourpack.py").write_text(OURS)
    path = f"import sys; sys.path.insert(0, {str(sh.cwd)!r})"
    sweep = [*SWEEP, "env.imports=[ourpack]", "env.id=ourpack/Reach-v0"]
    folder = sh.cwd / GRID
    child = sh.start(*sweep, prelude=path)
    wait_for(lambda: list(folder.glob("*seed=1*/checkpoints/state_*.pt")))
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait() == 128 + signal.SIGTERM
    assert table(sh.told()) == {"0": "done", "1": "stopped"}
    assert status(job(folder, 1)) == "stopped"
    assert not list(folder.glob("*seed=2*/result.json"))
    assert table(sh.done(*sweep, prelude=path)) == {"0": "skipped", "1": "resumed", "2": "done"}
    assert_same(folder, whole)
