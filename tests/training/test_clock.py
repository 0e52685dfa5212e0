"""When something is due, and where the time goes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her_exp.training import clock
from her_exp.training.clock import Every, Stopwatch, Until


@given(st.integers(1, 50), st.lists(st.integers(0, 30), max_size=60))
def test_every_fires_once_where_a_multiple_lies_in_the_stride(
    interval: int, strides: list[int]
) -> None:
    """Multiples may be passed, not met, and several at once; the same step asked again is done."""
    every, never, step = Every(interval), Every(None), 0
    for stride in strides:
        passed = any(n % interval == 0 for n in range(step + 1, step + stride + 1))
        step += stride
        assert every(step) == passed
        assert not never(step)


def test_until() -> None:
    until = Until(300)
    assert [until(step) for step in (0, 299, 300, 304)] == [True, True, False, False]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that only the test moves."""
    time = SimpleNamespace(now=100.0)
    time.perf_counter = lambda: time.now
    monkeypatch.setattr(clock, "time", time)
    return time


def test_a_stopwatch_counts_parts(time: SimpleNamespace) -> None:
    """Evaluation is no training; a part that fails is counted; one line says where the time went."""
    watch = Stopwatch()
    watch.start()
    for part, seconds in (("env", 5.0), ("update", 60.0), ("env", 15.0), ("evaluate", 10.0)):
        with watch(part):
            time.now += seconds
        time.now += 2.0  # between the parts

    def fail() -> None:
        time.now += 2.0
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), watch("log"):
        fail()
    assert watch.seconds == {"env": 20.0, "update": 60.0, "evaluate": 10.0, "log": 2.0}
    assert (watch.wall, watch.training) == (100.0, 90.0)
    assert watch.describe() == "100.0 s: update 60%, env 20%, evaluate 10%, log 2%, rest 8%"
