"""Sweeps whose jobs run side by side, each launcher for real: kept, killed, preempted and retried."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.commands.fake_slurm import NAMES
from tests.commands.forked_commands import Forks
from tests.commands.shell import Shell
from tests.commands.sweeps_kit import BROKEN, TINY, assert_same, job, status, table, wait_for

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `sweep`")
#: Long enough to be met in the middle.
LONG = [
    *(word for word in TINY if not word.startswith(("trainer.total", "trainer.eval_every"))),
    "trainer.total_steps=12000", "trainer.eval_every=6000",
]  # fmt: skip
SEEDS = ["-m", *LONG, "seed=0,1,2", "sweep=s"]
POOL = ["hydra/launcher=local", "hydra.launcher.n_jobs=2"]


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same jobs one after the other, never disturbed; the sweep's folder."""
    root = tmp_path_factory.mktemp("whole")
    assert forks.run(SEEDS, root / "cwd") == 0
    return root / "cwd/outputs/sweeps/s"


@pytest.fixture
def folder(sh: Shell) -> Path:
    return sh.cwd / "outputs/sweeps/s"


def until_saved(folder: Path, *seeds: int) -> None:
    wait_for(lambda: all(list(folder.glob(f"*seed={n}*/checkpoints/state_*.pt")) for n in seeds))


def kinds(folder: Path) -> list[str]:
    return sorted(json.loads(x)[0] for x in (folder / "jobs.jsonl").read_text().splitlines())


def test_four_jobs_on_two_workers(sh: Shell, folder: Path) -> None:
    """One of them fails; each worker has a GPU of its own; each line names its job."""
    (sh.cwd / "mine.py").write_text(BROKEN)
    argv = [
        "-m", *TINY, *POOL, "agent._target_=mine.Broken", "device=auto", "sweep=s",
        "agent.noise_std=0.1,0.2,0.3,0.4",
    ]  # fmt: skip
    prelude = "import os, sys; sys.path.insert(0, os.getcwd())\n"
    prelude += "os.environ['CUDA_VISIBLE_DEVICES'] = '3,5'"
    assert sh(*argv, prelude=prelude) == 1
    lines = sh.told().splitlines()
    assert "3 done, 1 failed" in lines
    assert lines[-1] == "her_exp: error: 1 of the sweep's jobs failed, see its run.log"
    told = {line.partition(": ")[0] for line in lines if "steps: success" in line}
    assert told == {f"agent.noise_std=0.{n}" for n in (1, 2, 4)}  # that is too noisy
    # How a run begins, the first job alone tells.
    begun = [line for line in lines if "success: compute_success" in line or "buffer: " in line]
    assert [line.partition(": ")[0] for line in begun] == ["agent.noise_std=0.1"] * 2
    assert kinds(folder) == [*["done"] * 3, "failed"]
    jobs = [path for path in folder.iterdir() if path.name.startswith("agent")]
    assert sorted(map(status, jobs)) == kinds(folder)
    (failed,) = (path for path in jobs if status(path) == "failed")
    assert "too noisy" in (failed / "run.log").read_text()
    assert all("success: compute_success" in (path / "run.log").read_text() for path in jobs)
    stories = [json.loads((path / "run.json").read_text()) for path in jobs]
    assert {story["machine"]["cuda_visible_devices"] for story in stories} == {"3", "5"}


@pytest.mark.slow
def test_a_pool_that_loses_its_master(sh: Shell, whole: Path, folder: Path) -> None:
    child = sh.start(*SEEDS, *POOL)
    until_saved(folder, 0, 1)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    wait_for(lambda: {status(job(folder, n)) for n in (0, 1)} <= {"stopped", "done"})
    assert table(sh.done(*SEEDS, *POOL))["2"] == "done"
    assert_same(folder, whole)


@pytest.mark.slow
def test_a_worker_that_is_killed(sh: Shell, whole: Path, folder: Path) -> None:
    child = sh.start(*SEEDS, *POOL)
    until_saved(folder, 0)
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    command = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
    os.kill(int(next(p for p in children if "LokyProcess" in command[p])), signal.SIGKILL)
    assert child.wait() == 1
    text = sh.told()
    assert "her_exp: error: a worker was killed (out of memory?)" in text
    assert "Traceback" not in text
    assert "killed" in table(text).values()
    sh.done(*SEEDS, *POOL)
    assert_same(folder, whole)


@pytest.mark.parametrize(
    ("moment", "alone"),
    [
        pytest.param("launching", False, marks=pytest.mark.slow),
        ("steps: success", False),
        ("steps: success", True),
    ],
)
def test_a_signal_in_a_pool_stops_each_job_whole(
    moment: str, alone: bool, cwd: Path, folder: Path
) -> None:
    """A terminal's Ctrl-C goes to the workers as well: while they import, and beside one that has just ended.

    `kill` asks the one that launched them `alone`.
    """
    words = [word for word in SEEDS if word != "trainer.total_steps=12000"]
    with subprocess.Popen(
        [sys.executable, "-m", "her_exp.train", *words, *POOL, "trainer.total_steps=50000,200"],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as sweep:  # fmt: skip
        assert sweep.stdout is not None
        next(line for line in sweep.stdout if moment in line)
        if alone:
            os.kill(sweep.pid, signal.SIGTERM)
        else:
            os.killpg(sweep.pid, signal.SIGINT)
        told = sweep.stdout.read()
        assert sweep.wait() in (130, 143), told
    assert "the same command goes on" in told or "interrupted" in told
    assert "out of memory" not in told
    assert "Traceback" not in told
    assert not list(folder.glob("*/checkpoints/*.tmp"))
    left = {status(path) for path in folder.iterdir() if (path / "result.json").exists()}
    assert left <= {"stopped", "done"}


@pytest.mark.slow
def test_submitit_on_this_machine(sh: Shell, whole: Path, folder: Path) -> None:
    told = sh.done(*SEEDS, "hydra/launcher=submitit")
    assert table(told) == dict.fromkeys("012", "done")
    assert_same(folder, whole)


@pytest.mark.slow
def test_a_job_that_slurm_preempts_goes_on(
    sh: Shell, whole: Path, folder: Path, tmp_path: Path
) -> None:
    state, path = tmp_path / "slurm", tmp_path / "bin"
    for made in (path, state / "pids", state / "requeue"):
        made.mkdir(parents=True)
    script = Path(__file__).with_name("fake_slurm.py")
    for name in NAMES:
        (path / name).write_text(f'#!/bin/sh\nexec {sys.executable} {script} {name} "$@"\n')
        (path / name).chmod(0o755)
    env = {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(state)}
    settings = ["qos=low", "array_parallelism=2", "timeout_min=30"]
    words = [*SEEDS, "hydra/launcher=slurm", *(f"hydra.launcher.{word}" for word in settings)]
    child = sh.start(*words, prelude=f"import os; os.environ.update({env!r})")
    until_saved(folder, 0)
    for name in ("SIGTERM", "USR2"):  # as Slurm does
        cancel = [str(path / "scancel"), "1_0", "--signal", name]
        subprocess.run(cancel, env=os.environ | env, check=True)
    assert child.wait() == 0
    text = sh.told()
    assert table(text) == {"0": "resumed", "1": "done", "2": "done"}
    assert "2 done, 1 resumed" in text.splitlines()
    asked = (state / "job").read_text()
    for option in (
        "array=0-2%2", "cpus-per-task=1", "time=30", "qos=low", "signal=USR2@120", "mem=4GB",
    ):  # fmt: skip
        assert f"#SBATCH --{option}\n" in asked
    assert "gpus" not in asked
    assert_same(folder, whole)


#: A cluster of two nodes with a core each; a line on stdin kills the second with all that runs on it.
NODES = """
import os, signal, sys
from ray.cluster_utils import Cluster

size = {"num_cpus": 1, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
second = cluster.add_node(**size)
print(cluster.address, flush=True)
sys.stdin.readline()
raylet = second.all_processes["raylet"][0].process.pid
with open(f"/proc/{raylet}/task/{raylet}/children") as file:
    children = file.read().split()
for pid in [raylet, *map(int, children)]:
    os.kill(pid, signal.SIGKILL)
print("killed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_node_of_a_ray_cluster_dies(sh: Shell, whole: Path, folder: Path, tmp_path: Path) -> None:
    env = os.environ | {"HOME": str(tmp_path)}  # Ray keeps a token there
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", NODES], cwd=tmp_path, env=env, stdin=pipe, stdout=pipe,
        stderr=subprocess.DEVNULL, text=True,
    ) as nodes:  # fmt: skip
        assert nodes.stdin is not None
        assert nodes.stdout is not None
        address = f"hydra.launcher.address={nodes.stdout.readline().strip()}"
        prelude = f"import os; os.environ['HOME'] = {str(tmp_path)!r}"
        child = sh.start(*SEEDS, "hydra/launcher=cluster", address, prelude=prelude)
        until_saved(folder, 0, 1)
        nodes.stdin.write("\n")
        nodes.stdin.flush()
        assert nodes.stdout.readline() == "killed\n"
        assert child.wait() == 0, sh.told()
    assert sorted(table(sh.told()).values()) == kinds(folder) == ["done", "done", "resumed"]
    assert sh.told("out").splitlines()[-1] == str(folder)
    assert_same(folder, whole)
