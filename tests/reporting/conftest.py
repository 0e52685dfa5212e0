"""For the tests of reports, which need what the extra `report` brings and what they are checked against."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

NEEDED = ("plotly", "matplotlib", "pandas", "scipy")
collect_ignore_glob = ["test_*.py"] if None in map(find_spec, NEEDED) else []


@pytest.fixture(scope="session")
def pictures() -> None:
    """Asked for where a report draws its pictures."""


@pytest.fixture(autouse=True)
def no_png(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of a report's time, and most tests do not look at them."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("her_exp.reporting.draw.to_png", lambda figure: b"\x89PNG")
