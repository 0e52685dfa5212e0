"""When something is due, and where the time goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her_exp.training import clock
from her_exp.training.clock import Every, Stopwatch, Until


def test_every_is_true_once_for_each_interval() -> None:
    every = Every(10)
    assert [step for step in range(41) if every(step)] == [10, 20, 30, 40]


def test_every_asked_again_at_the_same_step_is_done() -> None:
    every = Every(10)
    assert every(10)
    assert not every(10)
    assert not every(19)
    assert every(20)


def test_every_with_strides() -> None:
    every = Every(10)
    # 8 lanes: multiples are passed, not met; a stride over several of them is one.
    assert [step for step in (0, 8, 16, 24, 32, 72, 79, 80) if every(step)] == [16, 24, 32, 72, 80]


def test_every_none_is_never() -> None:
    every = Every(None)
    assert not any(every(step) for step in range(0, 10_000, 7))


@given(st.integers(1, 50), st.lists(st.integers(1, 30), max_size=60))
def test_every_fires_where_a_multiple_lies_in_the_stride(interval: int, strides: list[int]) -> None:
    every, step = Every(interval), 0
    for stride in strides:
        passed = any(n % interval == 0 for n in range(step + 1, step + stride + 1))
        step += stride
        assert every(step) == passed


def test_until() -> None:
    until = Until(300)
    assert [until(step) for step in (0, 299, 300, 304)] == [True, True, False, False]


class FakeTime:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(clock, "time", fake)
    return fake


def test_stopwatch_counts_parts(fake: FakeTime) -> None:
    watch = Stopwatch()
    for spent in (1.0, 2.0):
        with watch("env"):
            fake.now += spent
        fake.now += 0.25  # between the parts
    with watch("update"):
        fake.now += 4.0
    assert watch.seconds == {"env": 3.0, "update": 4.0}
    assert watch.wall == 7.5


def test_evaluation_is_no_training(fake: FakeTime) -> None:
    watch = Stopwatch()
    with watch("evaluate"):
        fake.now += 60.0
    with watch("update"):
        fake.now += 3.0
    fake.now += 0.5
    assert watch.wall == 63.5
    assert watch.training == 3.5


def test_a_part_that_fails_is_counted(fake: FakeTime) -> None:
    watch = Stopwatch()

    def work() -> None:
        with watch("env"):
            fake.now += 2.0
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work()
    assert watch.seconds["env"] == 2.0


def test_one_line_says_where_the_time_went(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("her_exp.training.clock.time.perf_counter", lambda: now[0])
    watch = Stopwatch()
    watch.start()
    for part, seconds in (("env", 20.0), ("update", 60.0), ("log", 0.1), ("evaluate", 10.0)):
        with watch(part):
            now[0] += seconds
    now[0] = 100.0
    assert watch.describe() == "100.0 s: update 60%, env 20%, evaluate 10%, rest 10%"
