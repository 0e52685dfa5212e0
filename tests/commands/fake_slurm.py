"""A Slurm of one machine for a test: the array that sbatch is given really runs, and is requeued.

Scripts with the names of Slurm's commands, on PATH, call it with that name. State lies in
$FAKE_SLURM: `job` (a script), `states`, `pids/<task>`, `requeue/<task>`, `log`.
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


def state(name: str) -> Path:
    return Path(os.environ["FAKE_SLURM"], name)


def sbatch(script: str) -> None:
    """Take the job; a process of its own runs its tasks."""
    state("job").write_text(Path(script).read_text())
    log = state("log").open("a")
    command = [sys.executable, str(Path(__file__).resolve()), "run"]
    subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)
    print("Submitted batch job 1")


def run() -> None:
    """As many tasks at once as the array allows."""
    array = re.search(r"--array=0-(\d+)%(\d+)", state("job").read_text())
    assert array is not None
    waiting, running = [str(task) for task in range(int(array[1]) + 1)], {}
    states = dict.fromkeys(waiting, "PENDING")
    while waiting or running:
        while waiting and len(running) < int(array[2]):
            task = waiting.pop(0)
            env = {"SLURM_JOB_ID": "1", "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": task}
            env |= {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
            running[task] = subprocess.Popen(["bash", str(state("job"))], env=os.environ | env)
            states[task] = "RUNNING"
        tell(states)
        task = next(iter(running))
        code = running.pop(task).wait()
        states[task] = "FAILED" if code else "COMPLETED"
        again = state(f"requeue/1_{task}")
        if again.exists():
            again.unlink()
            waiting.insert(0, task)
            states[task] = "PENDING"
    tell(states)


def tell(states: dict[str, str]) -> None:
    state("new").write_text(json.dumps(states))
    state("new").rename(state("states"))


def srun(*words: str) -> None:
    """Run the command with its output where Slurm would put it; the task is this process then."""
    task, options = os.environ["SLURM_ARRAY_TASK_ID"], list(words)
    streams, meant = {"--output": 1, "--error": 2}, {"%A": "1", "%j": "1", "%a": task, "%t": "0"}
    while options[0].startswith("--"):
        option = options.pop(0)
        if option in streams:
            path = re.sub("%[Ajat]", lambda match: meant[match[0]], options.pop(0))
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), streams[option])
    state(f"pids/1_{task}").write_text(str(os.getpid()))
    os.execvp(options[0], options)


def scontrol(verb: str, name: str) -> None:
    assert verb == "requeue"
    state(f"requeue/{name}").touch()


def scancel(name: str, flag: str, sign: str) -> None:
    assert flag == "--signal"
    number = getattr(signal, sign if sign.startswith("SIG") else f"SIG{sign}")
    os.kill(int(state(f"pids/{name}").read_text()), number)


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    known = json.loads(state("states").read_text()) if state("states").exists() else {}
    for task, what in known.items():
        print(f"1_{task}|{what}|here")


if __name__ == "__main__":
    assert sys.argv[1] in (*NAMES, "run")
    globals()[sys.argv[1]](*sys.argv[2:])
