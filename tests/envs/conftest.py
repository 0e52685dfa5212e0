"""For the tests of envs: envs to be closed, and the two backends of a stranger's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.envs.pool_kit import task


@pytest.fixture
def make() -> Iterator[Callable[..., Any]]:
    """Make the lanes of a task in EnvPool; closed at the end."""
    envs: list[Any] = []

    def make(id: str, num_envs: int = 8, **kwargs: Any) -> Any:
        envs.append(task(id, num_envs, **kwargs).make())
        return envs[-1]

    yield make
    for env in envs:
        env.close()


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.heavy)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)
