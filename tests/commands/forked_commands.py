"""Real commands as forks of one process that has loaded everything: each is quick to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Loads everything once, then runs each command in a process of its own, a fork. A command may be
#: given a prelude: Python code that runs ahead of it in its process.
FORKING = """
import json, os, sys, traceback
import her_exp.train, her_exp.training.build, her_exp.run, her_exp.evaluate, tensorboard
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
        exec(job["prelude"], {})
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

    def __init__(self, forks: Forks, argv: list[str], cwd: Path, prelude: str):
        self._nursery = forks
        forks.say({"argv": argv, "cwd": str(cwd), "prelude": prelude})
        self.pid = int(forks.hear())

    def wait(self) -> int:
        return int(self._nursery.hear())


class Forks:
    """Starts commands, one at a time."""

    def __init__(self) -> None:
        words = [sys.executable, "-c", FORKING]
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

    def start(self, argv: list[str], cwd: Path, prelude: str = "") -> Child:
        cwd.mkdir(exist_ok=True)
        return Child(self, argv, cwd, prelude)

    def run(self, argv: list[str], cwd: Path, prelude: str = "") -> int:
        return self.start(argv, cwd, prelude).wait()

    def close(self, seconds: float = 120) -> None:
        """Let it end; it has so long to do so, on a busy machine."""
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait(seconds)
