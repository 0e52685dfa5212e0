"""For the tests of envs: envs to be closed, and the two backends of a stranger's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def made() -> Iterator[list[Any]]:
    """Envs to be closed at the end."""
    envs: list[Any] = []
    yield envs
    for env in envs:
        env.close()


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.heavy)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)
