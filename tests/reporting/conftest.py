"""For the tests of reports."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of a report's time, and most tests do not look at them."""
    monkeypatch.setattr("her_exp.reporting.draw.to_png", lambda figure: b"\x89PNG")
