"""A Slurm of one machine for tests: what sbatch is given really runs, task by task, and is requeued.

Scripts with the names of Slurm's commands, on PATH, call it with that name. State lies in
$FAKE_SLURM: `job_<n>` (a script), `states_<n>.json`, `pids/<job>`, `requeue/<job>`, `log`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

NAMES = ("sbatch", "srun", "scontrol", "sacct", "scancel")


def state() -> Path:
    return Path(os.environ["FAKE_SLURM"])


def sbatch(script: str) -> None:
    """Take a job; a process of its own runs its tasks, as many at once as the array allows."""
    number = 1 + len(list(state().glob("job_*")))
    kept = state() / f"job_{number}"
    kept.write_text(Path(script).read_text())
    log = (state() / "log").open("a")
    command = [sys.executable, str(Path(__file__).resolve()), "run", str(number)]
    subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)
    print(f"Submitted batch job {number}")


def run(number: str) -> None:
    script = state() / f"job_{number}"
    array = re.search(r"--array=0-(\d+)%(\d+)", script.read_text())
    names = [f"{number}_{i}" for i in range(int(array[1]) + 1)] if array else [number]
    waiting, running = list(names), {}
    states = dict.fromkeys(names, "PENDING")
    while waiting or running:
        while waiting and len(running) < (int(array[2]) if array else 1):
            name = waiting.pop(0)
            running[name] = begin(script, name)
            states[name] = "RUNNING"
        write(number, states)
        name = next(iter(running))
        code = running.pop(name).wait()
        again = state() / "requeue" / name
        if again.exists():
            again.unlink()
            waiting.insert(0, name)
        states[name] = "PENDING" if name in waiting else "COMPLETED" if code == 0 else "FAILED"
    write(number, states)


def write(number: str, states: dict[str, str]) -> None:
    new = state() / f"states_{number}.new"
    new.write_text(json.dumps(states))
    new.rename(state() / f"states_{number}.json")


def begin(script: Path, name: str) -> subprocess.Popen[bytes]:
    job, _, task = name.partition("_")
    env = {"SLURM_JOB_ID": job, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    if task:
        env |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": task}
    return subprocess.Popen(["bash", str(script)], env=os.environ | env)


def srun(*words: str) -> None:
    """Run the command with its output where Slurm would put it; the job is this process then."""
    options, command = list(words), []
    streams = {"--output": 1, "--error": 2}
    job, task = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_TASK_ID", "0")
    meant = {"%A": job, "%j": job, "%a": task, "%t": "0"}
    while options:
        word = options.pop(0)
        if word in streams:
            path = re.sub("%[Ajat]", lambda match: meant[match[0]], options.pop(0))
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), streams[word])
        elif not word.startswith("--"):
            command = [word, *options]
            break
    name = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        name += "_" + os.environ["SLURM_ARRAY_TASK_ID"]
    (state() / "pids" / name).write_text(str(os.getpid()))
    os.execvp(command[0], command)


def scontrol(verb: str, name: str) -> None:
    assert verb == "requeue"
    (state() / "requeue" / name).touch()


def scancel(name: str, flag: str, sign: str) -> None:
    assert flag == "--signal"
    number = getattr(signal, sign if sign.startswith("SIG") else f"SIG{sign}")
    os.kill(int((state() / "pids" / name).read_text()), number)


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    for path in state().glob("states_*.json"):
        for name, what in json.loads(path.read_text()).items():
            print(f"{name}|{what}|here")


if __name__ == "__main__":
    assert sys.argv[1] in (*NAMES, "run")
    globals()[sys.argv[1]](*sys.argv[2:])
