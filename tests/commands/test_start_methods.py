"""Worker processes that are no forks, as Python 3.14 has it on Linux: they know what the run imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    # Registers an id on import; and an env that asks for that id, and does not import it itself.
    "inner_env.py": """
import gymnasium
from her_exp.envs.tasks.point_reach import PointReachEnv
gymnasium.register("apart/Inner-v0", PointReachEnv)
""",
    "outer_env.py": """
import gymnasium
class Outer(gymnasium.Wrapper):
    def __init__(self):
        super().__init__(gymnasium.make("apart/Inner-v0"))
gymnasium.register("apart/Outer-v0", "outer_env:Outer")
gymnasium.register("apart/Lambda-v0", lambda: Outer())
""",
    "script.py": """
import multiprocessing, sys
from her_exp.envs.make import GoalTask
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    for id in ("apart/Outer-v0", "apart/Lambda-v0"):
        env = GoalTask(id, imports=["inner_env", "outer_env"], backend="async").make(2)
        env.reset(seed=0)
        env.step(env.action_space.sample())
        env.close()
    print("stepped")
""",
}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_import_what_the_task_imports(method: str, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "script.py", method], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": path}, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "stepped\n", done.stderr
