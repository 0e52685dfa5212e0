"""Processes that are killed, stopped, or find the disk full: what is left always goes on exactly."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from runs_kit import checkpoints, differences, numbers

from her_exp.checkpoint import load

RUN = [
    "trainer.total_steps=600", "trainer.learning_starts=60", "trainer.batch_size=16",
    "trainer.updates_per_step=0.3", "trainer.eval_every=130", "trainer.eval_episodes=2",
    "trainer.log_every=70", "trainer.checkpoint_every=150",
    "trainer.short_checkpoints=true", "agent.random_steps=100",
    "agent.hidden_sizes=[8]", "env.max_steps=10", "buffer.capacity=160",
]  # fmt: skip
AUTO = ["resume=auto", "run_dir=run", *RUN]

#: Loads everything once, then runs each command in a process of its own, a fork. A command may be
#: given a plant: Python code that makes it do something to itself at a certain point.
NURSERY = """
import json, os, sys, traceback
import her_exp.train, her_exp.build, her_exp.resume, her_exp.evaluate, tensorboard
import hydra._internal.core_plugins.basic_launcher, hydra._internal.core_plugins.bash_completion
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    code = 1
    try:
        os.chdir(job["cwd"])
        null = os.open(os.devnull, os.O_RDONLY)
        out, err = (os.open(n, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for n in ("../out", "../err"))
        for number, file in enumerate((null, out, err)):
            os.dup2(file, number)
        sys.argv = ["train.py", *job["argv"]]
        exec(job["plant"], {})
        her_exp.train.main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""


class Child:
    """A command in a process of its own."""

    def __init__(self, nursery: Nursery, argv: list[str], cwd: Path, plant: str):
        self._nursery = nursery
        nursery.say({"argv": argv, "cwd": str(cwd), "plant": plant})
        self.pid = int(nursery.hear())

    def wait(self) -> int:
        return int(self._nursery.hear())


class Nursery:
    """Where commands are born: one at a time."""

    def __init__(self) -> None:
        words = [sys.executable, "-c", NURSERY]
        env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def say(self, job: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def start(self, argv: list[str], cwd: Path, plant: str = "") -> Child:
        cwd.mkdir(exist_ok=True)
        return Child(self, argv, cwd, plant)

    def run(self, argv: list[str], cwd: Path, plant: str = "") -> int:
        return self.start(argv, cwd, plant).wait()

    def close(self, seconds: float = 10) -> None:
        """Let it end; it has so long to do so."""
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait(seconds)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def whole(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was never killed."""
    root = tmp_path_factory.mktemp("whole")
    assert nursery.run(AUTO, root / "cwd") == 0, (root / "err").read_text()
    return root / "cwd" / "run"


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    (tmp_path / "cwd").mkdir()
    return tmp_path / "cwd"


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def assert_ends_as(whole: Path, folder: Path) -> None:
    """The same numbers, policies and last state as the run that was never killed."""
    assert numbers(folder) == numbers(whole)
    for name in ("last.pt", "best.pt", checkpoints(whole)[-1].name):
        one, other = (load(f / "checkpoints" / name) for f in (whole, folder))
        parts = ("agent", "about", "envs", "record", "functions")
        assert not [d for p in parts if p in one for d in differences(one[p], other[p])], name
    assert [p.name for p in checkpoints(folder)] == [p.name for p in checkpoints(whole)]
    assert result_of(folder)["status"] == "done"
    assert not list(folder.rglob("*.tmp"))
    for path in checkpoints(folder):  # nothing broken is left behind
        load(path)


def err(cwd: Path) -> str:
    return (cwd.parent / "err").read_text()


# --- kill -9 at random moments ------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """CPU time of a process: a moment in it does not move with the load of the machine."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return float("inf")
    if fields[0] in "ZX":
        return float("inf")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill_at(pid: int, moment: float) -> None:
    """Kill -9 once the process has used `moment` seconds of CPU time, unless it ends before."""
    while (used := cpu_seconds(pid)) < moment:
        time.sleep(0.002)
    if used != float("inf"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def length(nursery: Nursery, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """CPU seconds of the whole command, in the nursery."""
    cwd = tmp_path_factory.mktemp("length") / "cwd"
    child = nursery.start(AUTO, cwd)
    seconds = used = 0.0
    while used < float("inf"):
        seconds, used = used, cpu_seconds(child.pid)
        time.sleep(0.005)
    assert child.wait() == 0
    return seconds


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(
    seed: int, nursery: Nursery, whole: Path, length: float, cwd: Path
) -> None:
    """Killed two times, also while it goes on after the first."""
    moments = random.Random(seed)
    codes = []
    for _ in range(2):
        child = nursery.start(AUTO, cwd)
        kill_at(child.pid, moments.uniform(0.1, 0.9) * length)
        codes.append(child.wait())
    assert codes[0] == -signal.SIGKILL
    assert set(codes) <= {-signal.SIGKILL, 0}
    assert nursery.run(AUTO, cwd) == 0, err(cwd)
    assert_ends_as(whole, cwd / "run")
    assert os.listdir(cwd) == ["run"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_the_real_command_killed_at_a_random_moment(
    seed: int, whole: Path, length: float, cwd: Path
) -> None:
    command = [sys.executable, "-m", "her_exp.train", *AUTO]
    with (cwd.parent / "err").open("w") as log:
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)
        # Some two seconds go into starting up, and may be hit as well.
        kill_at(process.pid, random.Random(seed).uniform(1.0, 2.0 + length))
        assert process.wait() in (-signal.SIGKILL, 0)
        done = subprocess.run(command, cwd=cwd, stdout=log, stderr=log, check=False)
    assert done.returncode == 0, err(cwd)
    assert_ends_as(whole, cwd / "run")
    assert os.listdir(cwd) == ["run"]


# --- kill -9 at planted moments -----------------------------------------------------------------

#: What a plant may use. `at(n)` kills at the n-th time that it is called.
TOOLS = """
import csv, io, os, signal
from pathlib import Path
import torch
calls = 0

def at(n):
    global calls
    calls += 1
    if calls == n:
        die()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def name_of(number):
    return Path(os.readlink(f"/proc/self/fd/{number}")).name

def around(owner, name, before=None, after=None):
    function = getattr(owner, name)
    def wrapper(*args, **kwargs):
        if before:
            before(*args, **kwargs)
        result = function(*args, **kwargs)
        if after:
            after(*args, **kwargs)
        return result
    setattr(owner, name, wrapper)

def half(write, which, n):
    # Write half of the n-th thing of a kind, and die.
    def save(state, file, *args, **kwargs):
        whole = io.BytesIO()
        write(state, whole, *args, **kwargs)
        data = whole.getvalue()
        if which(file):
            global calls
            calls += 1
            if calls == n:
                file.write(data[: len(data) // 2])
                file.flush()
                die()
        file.write(data)
    return save
"""
PLANTS = {
    "before the lock's folder tells anything": """
import her_exp.run_folder as r
around(r.RunFolder, "write_story", before=lambda *a: at(1))""",
    "before run.json is there": """
around(Path, "replace", before=lambda path, to: path.name == "run.json.tmp" and at(1))""",
    "before the first checkpoint": """
from her_exp.trainer import Trainer
around(Trainer, "_collect", before=lambda trainer: at(15))""",
    "in the middle of the first state": """
torch.save = half(torch.save, lambda file: file.name.endswith("0152.pt.tmp"), 1)""",
    "in the middle of the third state": """
torch.save = half(torch.save, lambda file: "state_" in file.name, 3)""",
    "in the middle of a policy": """
torch.save = half(torch.save, lambda file: "last.pt" in file.name, 3)""",
    "before the state's fsync": """
around(os, "fsync", before=lambda number: "state_" in name_of(number) and at(2))""",
    "before the state's rename": """
around(Path, "replace", before=lambda path, to: "state_" in path.name and at(2))""",
    "after the state's rename": """
around(Path, "replace", after=lambda path, to: "state_" in path.name and at(3))""",
    "before the oldest state goes": """
around(Path, "unlink", before=lambda path, **k: "state_" in path.name and at(1))""",
    "before the policy's rename": """
around(Path, "replace", before=lambda path, to: path.name == "best.pt.tmp" and at(1))""",
    "before the fsync of metrics.csv": """
around(os, "fsync", before=lambda number: name_of(number) == "metrics.csv" and at(2))""",
    "in the middle of a row of metrics.csv": """
import her_exp.logger
class Torn:
    def __init__(self, file):
        self.file, self.rows, self.writer = file, 0, csv.writer(file)
    def writerow(self, row):
        self.rows += 1
        if self.rows == 120:
            text = ",".join(map(str, row))
            self.file.write(text[: len(text) // 2])
            self.file.flush()
            die()
        self.writer.writerow(row)
her_exp.logger.csv = type("csv", (), {"writer": Torn})""",
    "in the middle of a record of the event file": """
from tensorboard.summary.writer import record_writer
write = record_writer.RecordWriter.write
class Half:
    def __init__(self, file):
        self.file = file
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        die()
def torn(self, data):
    global calls
    calls += 1
    if calls == 150:
        self._writer = Half(self._writer)
    write(self, data)
record_writer.RecordWriter.write = torn""",
    "between the last state and the word done": """
import her_exp.logger
def result(path, content):
    if content["status"] == "done":
        die()
around(her_exp.logger, "write_json", before=result)""",
    "before the rename of the word done": """
import her_exp.logger, json
around(Path, "replace", before=lambda path, to: path.name == "result.json.tmp"
       and json.loads(path.read_text())["status"] == "done" and die())""",
}


@pytest.mark.parametrize("plant", PLANTS)
def test_killed_at_a_planted_moment(plant: str, nursery: Nursery, whole: Path, cwd: Path) -> None:
    code = TOOLS + PLANTS[plant]
    assert nursery.run(AUTO, cwd, code) == -signal.SIGKILL, err(cwd)
    assert nursery.run(AUTO, cwd) == 0, err(cwd)
    assert_ends_as(whole, cwd / "run")
    assert os.listdir(cwd) == ["run"]


@pytest.mark.parametrize("plant", ["before the state's rename", "in the middle of the third state"])
def test_killed_again_while_it_goes_on(
    plant: str, nursery: Nursery, whole: Path, cwd: Path
) -> None:
    code = (TOOLS + PLANTS[plant]).replace("at(2)", "at(1)").replace(", 3)", ", 1)")
    for turn in range(3):
        assert nursery.run(AUTO, cwd, code) == -signal.SIGKILL, err(cwd)
        if turn == 0:  # get as far as one checkpoint, else there is no end to it
            assert checkpoints(cwd / "run") == []
            code = TOOLS + PLANTS[plant].replace(", 3)", ", 2)")
    assert nursery.run(AUTO, cwd) == 0, err(cwd)
    assert_ends_as(whole, cwd / "run")


def test_auto_starts_goes_on_and_knows_the_end(nursery: Nursery, whole: Path, cwd: Path) -> None:
    """The same words three times; with the folder done they only say where it is."""
    shutil.copytree(whole, cwd / "run")
    before = {p: p.read_bytes() for p in (cwd / "run").rglob("*") if p.is_file()}
    assert nursery.run(AUTO, cwd) == 0
    assert (cwd.parent / "out").read_text() == "run\n"
    assert {p: p.read_bytes() for p in (cwd / "run").rglob("*") if p.is_file()} == before


# --- signals ------------------------------------------------------------------------------------


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
    number: signal.Signals, nursery: Nursery, whole: Path, cwd: Path
) -> None:
    child = nursery.start(AUTO, cwd)
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
    child = nursery.start(["resume=run"], cwd)
    wait_for(lambda: '"resumes"' in (cwd / "run" / "run.json").read_text(), child.pid)
    assert child.wait() == 0, err(cwd)
    assert_ends_as(whole, cwd / "run")
    (note,) = json.loads((cwd / "run" / "run.json").read_text())["resumes"]
    assert note["env_steps"] == result["env_steps"]


SLOW_CHECKPOINT = """
import time, her_exp.trainer
from pathlib import Path
def linger(*args):
    Path("lingers").touch()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.01)
her_exp.trainer.Checkpoints.save = linger
"""


@pytest.mark.parametrize("again", [False, True])
def test_a_second_interrupt_stops_at_once(again: bool, nursery: Nursery, cwd: Path) -> None:
    """Also where the run is one that goes on; here it hangs in its checkpoint."""
    argv = AUTO
    if again:
        assert nursery.run(AUTO, cwd, TOOLS + PLANTS["before the oldest state goes"]) < 0
        argv = ["resume=run"]
    kept = [path.read_bytes() for path in checkpoints(cwd / "run")]
    child = nursery.start(argv, cwd, SLOW_CHECKPOINT)
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


# --- a disk that refuses ------------------------------------------------------------------------


def clear_line(text: str) -> str:
    assert "Traceback" not in text
    (line,) = (line for line in text.splitlines() if "her_exp: error:" in line)
    return line


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_may_not_grow(again: bool, nursery: Nursery, whole: Path, cwd: Path) -> None:
    """A limit of the file size sets in between two checkpoints."""
    argv = AUTO
    if again:
        assert nursery.run(AUTO, cwd, TOOLS + PLANTS["after the state's rename"]) < 0
        argv = ["resume=run"]
    plant = (
        TOOLS
        + f"""
import resource
import her_exp.checkpoint
def shrink(*args):
    global calls
    calls += 1
    if calls == {1 if again else 2}:
        now = 500_000  # more than any file but a state
        resource.setrlimit(resource.RLIMIT_FSIZE, (now, -1))
around(her_exp.checkpoint.Checkpoints, "save", before=shrink)
def padded(self, state, steps):
    state["padding"] = torch.zeros(200_000)
    return original(self, state, steps)
original = her_exp.checkpoint.Checkpoints.save
her_exp.checkpoint.Checkpoints.save = padded
"""
    )
    assert nursery.run(argv, cwd, plant) == 1, err(cwd)
    assert "the checkpoint cannot be written" in clear_line(err(cwd))
    assert result_of(cwd / "run")["status"] == "failed"
    assert "the checkpoint cannot be written" in result_of(cwd / "run")["reason"]
    assert not list((cwd / "run").rglob("*.tmp"))
    assert checkpoints(cwd / "run")
    for path in checkpoints(cwd / "run"):
        load(path)
    assert nursery.run(["resume=run"], cwd) == 0, err(cwd)
    assert_ends_as(whole, cwd / "run")


@pytest.fixture
def small_disk(cwd: Path) -> Iterator[Path]:
    (cwd / "run").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(cwd / "run")]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield cwd / "run"
    subprocess.run(["umount", str(cwd / "run")], check=True)


@pytest.mark.parametrize("room", [0, 12, 24, 40])
def test_a_disk_full_of_other_things(
    room: int, nursery: Nursery, whole: Path, cwd: Path, small_disk: Path
) -> None:
    """The disk fills up in the middle of the run: `room` kB later a write fails, whichever it is."""
    plant = (
        TOOLS
        + f"""
import her_exp.trainer
def fill(*args):
    global calls
    calls += 1
    if calls == 30:
        free = os.statvfs("run").f_bavail * os.statvfs("run").f_bsize
        Path("run/ballast").write_bytes(bytes(max(free - {room} * 1024, 0)))
around(her_exp.trainer.Trainer, "_collect", before=fill)
"""
    )
    assert nursery.run(AUTO, cwd, plant) == 1, err(cwd)
    said = err(cwd)
    assert checkpoints(small_disk)
    for path in checkpoints(small_disk):
        load(path)
    (small_disk / "ballast").unlink()
    assert nursery.run(["resume=run"], cwd) == 0, err(cwd)
    assert_ends_as(whole, small_disk)
    line = clear_line(said)
    assert "No space left" in line or "cannot be written" in line


def test_a_folder_that_cannot_be_written(nursery: Nursery, cwd: Path, small_disk: Path) -> None:
    code = TOOLS + PLANTS["after the state's rename"]
    assert nursery.run(AUTO, cwd, code) == -signal.SIGKILL
    kept = [path.read_bytes() for path in checkpoints(small_disk)]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = []
    for argv in (["resume=run"], AUTO, ["rerun=run", "run_dir=run/new"]):
        (cwd.parent / "err").write_text("")
        assert nursery.run(argv, cwd) in (1, 2)
        said.append(err(cwd))
    assert [path.read_bytes() for path in checkpoints(small_disk)] == kept
    for path in checkpoints(small_disk):
        load(path)
    assert all("Read-only" in clear_line(text) for text in said)
