"""The hindsight buffer beside the slow model of `oracle.py`: episodes of every shape."""

from __future__ import annotations

from typing import Any

import pytest

from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both

pytestmark = pytest.mark.heavy
ENDLESS = (10**6,)
SHAPES: dict[str, dict[str, Any]] = {
    "of one step": {"capacity": 9, "lengths": (1,)},
    "of one step, in lanes": {"capacity": 27, "lanes": 3, "lengths": (1,)},
    "endless, longer than the ring": {"capacity": 8, "lengths": ENDLESS},
    "ended, longer than the ring": {"capacity": 8, "lengths": (19,)},
    "still open": {"capacity": 99, "lanes": 2, "lengths": ENDLESS},
    "out of phase": {"capacity": 30, "lanes": 2, "lengths": (1, 2), "seed": 8},
    "short, long ones beside": {"capacity": 48, "lanes": 3, "lengths": (1,) * 6 + (30,), "seed": 7},
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_episodes(shape: str, strategy: str) -> None:
    """From the first step on: lanes that hold more steps than others are drawn from more often."""
    both = Both(**SHAPES[shape], strategy=strategy).begin()
    for step in range(25 if shape.startswith("short") else 31):
        both.add().check()
        if step < 5:
            both.audit(at_least=300)
    both.audit(per_cell=30)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("steps", [0, 1, 3, 9])
def test_begin_in_the_middle_of_episodes(steps: int, strategy: str) -> None:
    """A barrier: episodes are cut, keep their last state, and nothing reaches across."""
    both = Both(36, lanes=3, strategy=strategy, lengths=(3, 4, 6), seed=4).begin()
    for _ in range(3):
        for change in (lambda: both.add(steps), both.begin):
            change()
            if both.oracle.drawable():
                both.audit(at_least=600)
    both.add(2).audit(at_least=600)
