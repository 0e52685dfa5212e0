"""`kill -9` of a run whose envs have processes of their own: they end with it, and its folder is free."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from her_exp.envs.make import GoalTask
from her_exp.store.folder import RunFolder, lock
from her_exp.types import UserError
from tests.commands.sweeps_kit import wait_for
from tests.runs.health_kit import ROOT, RUN
from tests.runs.runs_kit import result_of

#: As Python 3.14 would on Linux: workers are not forks of the run there.
STARTED_BY = """
import multiprocessing, sys
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv.pop(1))
    from her_exp.train import main
    main()
"""


def start(method: str, cwd: Path, *words: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", STARTED_BY, method, "resume=auto", "run_dir=run", *RUN, *words],
        cwd=cwd, env=os.environ | {"PYTHONPATH": path}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def alive(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_same_command_goes_on_at_once(method: str, tmp_path: Path) -> None:
    """Workers that hang in a step for ever, and the evaluation's two, which wait."""
    words = ["env.backend=async", "+env.pause=0.01", "env.timeout=600", "+env.fault=hang"]
    run = start(method, tmp_path, *words)
    try:
        wait_for((tmp_path / "faulty").exists)
        assert len(alive(run.pid)) >= 5
        os.kill(run.pid, signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        (tmp_path / "healed").touch()
        again = start(method, tmp_path, *words)
        _, err = again.communicate(timeout=120)
        assert again.returncode == 0, err
        assert "going on at env step" in err
        assert result_of(tmp_path / "run")["status"] == "done"
        # A fork server ends after its run.
        wait_for(lambda: alive(run.pid) == alive(again.pid) == [])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def live_until(end: Any, begun: Any) -> None:
    begun.set()
    end.wait()


def test_a_fork_holds_no_lock(tmp_path: Path) -> None:
    """Whoever forks: an env's own processes may outlive the run as well."""
    forks = multiprocessing.get_context("fork")
    end, begun = forks.Event(), forks.Event()
    child = forks.Process(target=live_until, args=(end, begun), daemon=True)
    with RunFolder(tmp_path):
        child.start()
        assert begun.wait(60)
        with pytest.raises(UserError, match="another process is writing"):
            lock(tmp_path)  # the child has not given it away either
    lock(tmp_path).close()
    assert child.is_alive()
    end.set()
    child.join()


def test_workers_outlive_the_thread_that_made_them() -> None:
    """Their end follows that of the process alone: a notebook may make its envs in a thread."""
    task, envs = GoalTask("her_exp/PointReach-v0", backend="async"), []
    maker = threading.Thread(target=lambda: envs.append(task.make(2)))
    maker.start()
    maker.join()
    try:
        envs[0].reset(seed=0)
        envs[0].step(envs[0].action_space.sample())
    finally:
        envs[0].close()


#: An env that asks for an id which another module registers.
FILES = {
    "inner_env.py": """
import gymnasium
from her_exp.envs.tasks.point_reach import PointReachEnv
gymnasium.register("apart/Inner-v0", PointReachEnv)
""",
    "outer_env.py": """
import gymnasium
gymnasium.register("apart/Outer-v0", lambda: gymnasium.Wrapper(gymnasium.make("apart/Inner-v0")))
""",
}
MAKES = """
import multiprocessing
from her_exp.envs.make import GoalTask
multiprocessing.set_start_method("spawn")
GoalTask("apart/Outer-v0", imports=["inner_env", "outer_env"], backend="async").make(1).close()
"""


def test_a_worker_that_is_no_fork_imports_what_its_task_imports(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run([sys.executable, "-c", MAKES], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
