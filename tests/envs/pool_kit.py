"""Tasks as EnvPool plays them, where it is installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

from her_exp.envs.make import GoalTask

INSTALLED = all(find_spec(name) for name in ("envpool", "gymnasium_robotics"))
_skip = pytest.mark.skipif(not INSTALLED, reason="needs the extra: pip install '.[fast]'")


def needs_envpool(test: Any) -> Any:
    """Its simulator takes its time, and is not everywhere."""
    return pytest.mark.heavy(_skip(test))


@cache
def task(id: str, num_envs: int = 8, **kwargs: Any) -> GoalTask:
    return GoalTask(id, imports=["gymnasium_robotics"], num_envs=num_envs, **kwargs)
