"""Sweeps whose jobs run side by side, each launcher for real: kept, killed, preempted and retried."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.fake_slurm import NAMES
from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import BROKEN, TINY, job, status, table, wait_for, words
from tests.runs.runs_kit import numbers

#: Long enough to be met in the middle.
LONG = [
    *(word for word in TINY if not word.startswith(("trainer.total", "trainer.eval_every"))),
    "trainer.total_steps=12000", "trainer.eval_every=6000",
]  # fmt: skip
SEEDS = ["-m", *LONG, "seed=0,1,2", "sweep=s"]
POOL = [*SEEDS, "hydra/launcher=local", "hydra.launcher.n_jobs=2"]


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same jobs one after the other, never disturbed; the sweep's folder."""
    root = tmp_path_factory.mktemp("whole")
    assert forks.run(SEEDS, root / "cwd") == 0
    return root / "cwd/outputs/sweeps/s"


def assert_same(folder: Path, whole: Path, seeds: int) -> None:
    for seed in range(seeds):
        assert numbers(job(folder, seed)) == numbers(job(whole, seed))


# --- joblib ------------------------------------------------------------------------------------


def test_eight_jobs_on_two_workers(forks: Forks, cwd: Path) -> None:
    """One of them fails; each worker has a GPU of its own; each line names its job."""
    pytest.importorskip("joblib")
    (cwd / "mine.py").write_text(BROKEN)
    words_ = [
        "-m", *TINY, "agent._target_=mine.Broken", "device=auto", "hydra/launcher=local",
        "agent.noise_std=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8", "hydra.launcher.n_jobs=2", "sweep=s",
    ]  # fmt: skip
    prelude = f"import os, sys; sys.path.insert(0, {str(cwd)!r}); os.environ['CUDA_VISIBLE_DEVICES'] = '3,5'"
    assert forks.run(words_, cwd, prelude) == 1
    lines = words(cwd).splitlines()
    assert "7 done, 1 failed" in lines
    told = [line for line in lines if "steps: success" in line]
    assert {line.partition(": ")[0] for line in told} == {
        f"agent.noise_std=0.{n}"
        for n in range(1, 9)
        if n != 3  # too noisy
    }
    # How a run begins, the first job alone tells.
    begun = [line for line in lines if "success: compute_success" in line or "buffer: " in line]
    assert {line.partition(": ")[0] for line in begun} == {"agent.noise_std=0.1"}
    assert len(begun) == 2
    assert lines[-1] == "her_exp: error: 1 of the sweep's jobs failed, see its run.log"
    folder = cwd / "outputs/sweeps/s"
    notes = [json.loads(line) for line in (folder / "jobs.jsonl").read_text().splitlines()]
    assert sorted(what for what, _, _ in notes) == [*["done"] * 7, "failed"]
    (failed,) = (Path(path) for what, path, _ in notes if what == "failed")
    assert "too noisy" in (failed / "run.log").read_text()
    logs = [path.read_text() for path in folder.glob("*/run.log")]
    assert all("success: compute_success" in log for log in logs)
    stories = [json.loads(path.read_text()) for path in folder.glob("*/run.json")]
    assert {story["machine"]["cuda_visible_devices"] for story in stories} == {"3", "5"}
    assert sorted(status(path) for path in folder.iterdir() if path.name.startswith("agent")) == [
        *["done"] * 7, "failed",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_pool_that_is_stopped_or_loses_its_master(
    how: signal.Signals, forks: Forks, whole: Path, cwd: Path
) -> None:
    pytest.importorskip("joblib")
    folder = cwd / "outputs/sweeps/s"
    child = forks.start(POOL, cwd)
    wait_for(lambda: all(list(folder.glob(f"*seed={n}*/checkpoints/state_*.pt")) for n in (0, 1)))
    os.kill(child.pid, how)
    assert child.wait() == (143 if how == signal.SIGTERM else -9)
    if how == signal.SIGTERM:
        assert table(words(cwd)) == {"0": "stopped", "1": "stopped"}
    wait_for(lambda: {status(job(folder, n)) for n in (0, 1)} <= {"stopped", "done"})
    words(cwd)
    assert forks.run(POOL, cwd) == 0
    assert table(words(cwd))["2"] == "done"
    assert_same(folder, whole, 3)


@pytest.mark.slow
def test_a_worker_that_is_killed(forks: Forks, whole: Path, cwd: Path) -> None:
    pytest.importorskip("joblib")
    folder = cwd / "outputs/sweeps/s"
    child = forks.start(POOL, cwd)
    wait_for(lambda: list(folder.glob("*seed=0*/checkpoints/state_*.pt")))
    os.kill(
        next(pid for pid in children(child.pid) if "LokyProcess" in command(pid)), signal.SIGKILL
    )
    assert child.wait() == 1
    text = words(cwd)
    assert "her_exp: error: a worker was killed (out of memory?)" in text
    assert "Traceback" not in text
    assert "killed" in table(text).values()
    assert forks.run(POOL, cwd) == 0
    assert_same(folder, whole, 3)


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


# --- submitit: on this machine, and on a Slurm that really runs what it is given ---------------------


@pytest.mark.slow
def test_submitit_on_this_machine(forks: Forks, whole: Path, cwd: Path) -> None:
    pytest.importorskip("submitit")
    sweep = [*SEEDS, "hydra/launcher=submitit"]
    assert forks.run(sweep, cwd) == 0
    assert table(words(cwd)) == dict.fromkeys("012", "done")
    assert_same(cwd / "outputs/sweeps/s", whole, 3)


@pytest.mark.slow
def test_a_job_that_slurm_preempts_goes_on(
    forks: Forks, whole: Path, cwd: Path, tmp_path: Path
) -> None:
    pytest.importorskip("submitit")
    state, path = tmp_path / "slurm", tmp_path / "bin"
    for folder in (path, state / "pids", state / "requeue"):
        folder.mkdir(parents=True)
    script = Path(__file__).with_name("fake_slurm.py")
    for name in NAMES:
        (path / name).write_text(f'#!/bin/sh\nexec {sys.executable} {script} {name} "$@"\n')
        (path / name).chmod(0o755)
    env = {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(state)}
    folder = cwd / "outputs/sweeps/s"
    sweep = [*SEEDS, "hydra/launcher=slurm", "hydra.launcher.qos=low"]
    sweep += ["hydra.launcher.array_parallelism=2", "hydra.launcher.timeout_min=30"]
    child = forks.start(sweep, cwd, f"import os; os.environ.update({env!r})")
    wait_for(lambda: list(folder.glob("*seed=0*/checkpoints/state_*.pt")))
    for name in ("SIGTERM", "USR2"):  # as Slurm does
        words_ = [str(path / "scancel"), "1_0", "--signal", name]
        subprocess.run(words_, env=os.environ | env, check=True)
    assert child.wait() == 0
    text = words(cwd)
    assert table(text) == {"0": "resumed", "1": "done", "2": "done"}
    assert "2 done, 1 resumed" in text.splitlines()
    asked = set((state / "job_1").read_text().splitlines())
    assert {
        "#SBATCH --array=0-2%2", "#SBATCH --cpus-per-task=1", "#SBATCH --time=30",
        "#SBATCH --qos=low", "#SBATCH --signal=USR2@120", "#SBATCH --mem=4GB",
    } <= asked  # fmt: skip
    assert not any("gpus" in line for line in asked)
    assert_same(folder, whole, 3)


# --- Ray ---------------------------------------------------------------------------------------

#: A cluster of two nodes with a core each; a line on stdin kills the second with all that runs on it.
NODES = """
import os, signal, sys
from ray.cluster_utils import Cluster

def children(parent):
    for name in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{name}/stat") as file:
            if int(file.read().rpartition(")")[2].split()[1]) == parent:
                yield int(name)

size = {"num_cpus": 1, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
second = cluster.add_node(**size)
print(cluster.address, flush=True)
sys.stdin.readline()
raylet = second.all_processes["raylet"][0].process
for pid in [raylet.pid, *children(raylet.pid)]:
    os.kill(pid, signal.SIGKILL)
print("killed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_node_of_a_ray_cluster_dies(forks: Forks, whole: Path, cwd: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    env = os.environ | {"HOME": str(tmp_path)}  # Ray keeps a token there
    nodes = subprocess.Popen(
        [sys.executable, "-c", NODES], cwd=tmp_path, env=env, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert nodes.stdin is not None
    assert nodes.stdout is not None
    with nodes:
        address = nodes.stdout.readline().strip()
        folder = cwd / "outputs/sweeps/s"
        sweep = [*SEEDS, "hydra/launcher=cluster"]
        prelude = f"import os; os.environ['HOME'] = {str(tmp_path)!r}"
        child = forks.start([*sweep, f"hydra.launcher.address={address}"], cwd, prelude)
        wait_for(
            lambda: all(list(folder.glob(f"*seed={n}*/checkpoints/state_*.pt")) for n in (0, 1))
        )
        nodes.stdin.write("\n")
        nodes.stdin.flush()
        assert nodes.stdout.readline() == "killed\n"
        assert child.wait() == 0, words(cwd)
        text = words(cwd)
        assert sorted(table(text).values()) == ["done", "done", "resumed"], text
        assert words(cwd, "out").splitlines()[-1] == str(folder)
    assert_same(folder, whole, 3)
    notes = [json.loads(line)[0] for line in (folder / "jobs.jsonl").read_text().splitlines()]
    assert sorted(notes) == ["done", "done", "resumed"]


@pytest.mark.parametrize(
    ("moment", "alone"), [("launching", False), ("steps: success", False), ("steps: success", True)]
)
def test_a_signal_in_a_pool_stops_each_job_whole(moment: str, alone: bool, cwd: Path) -> None:
    """A terminal's Ctrl-C goes to the workers as well: while they import, and beside one that has just ended.

    `kill` asks the one that launched them `alone`.
    """
    pytest.importorskip("joblib")
    cwd.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "her_exp.train", *POOL, "trainer.total_steps=50000,200"]
    with subprocess.Popen(
        [word for word in command if word != "trainer.total_steps=12000"], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as sweep:  # fmt: skip
        assert sweep.stdout is not None
        for line in sweep.stdout:
            if moment in line:
                break
        if alone:
            os.kill(sweep.pid, signal.SIGTERM)
        else:
            os.killpg(sweep.pid, signal.SIGINT)
        told = sweep.stdout.read()
        assert sweep.wait() in (130, 143), told
    assert "the same command goes on" in told or "interrupted" in told
    assert "out of memory" not in told
    assert "Traceback" not in told
    folder = cwd / "outputs/sweeps/s"
    assert not list(folder.glob("*/checkpoints/*.tmp"))
    left = {status(path) for path in folder.iterdir() if (path / "result.json").exists()}
    assert left <= {"stopped", "done"}
