"""When something is due, where the time goes, and what a run counts of its updates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from her_exp.training import clock
from her_exp.training.clock import Every, Stopwatch, Until
from her_exp.training.progress import Record


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


def test_metrics_of_different_beats_are_averaged_apart_over_a_checkpoint_too() -> None:
    before, record = Record(), Record()
    before.learned([{"critic_loss": torch.tensor(1.0)}, {"critic_loss": 3.0, "actor_loss": 5.0}])
    record.load_state_dict(before.state_dict())
    record.learned([{"critic_loss": torch.tensor(5.0)}])
    assert record.updates == 3
    losses = {"train/critic_loss": 3.0, "train/actor_loss": 5.0, "train/updates": 3.0}
    assert record.losses() == losses
    assert record.losses() == {"train/updates": 3.0}


class OnDevice(torch.Tensor):
    """Stands for a tensor on a GPU: nothing takes it together with one of the CPU."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.cpu:
            with torch._C.DisableTorchFunctionSubclass():
                return args[0].as_subclass(torch.Tensor)
        if func is torch.stack:
            raise RuntimeError("Expected all tensors to be on the same device")
        return super().__torch_function__(func, types, args, kwargs)


def test_metrics_of_two_devices_are_saved_together() -> None:
    """After a resume on a GPU the loaded ones are on the CPU, the new ones are not."""
    record = Record()
    record.learned([{"q_mean": torch.tensor(1.0)}])
    record.learned([{"q_mean": torch.tensor(2.0).as_subclass(OnDevice)}])
    pending = record.state_dict()["pending"]["q_mean"]
    assert type(pending) is torch.Tensor
    assert pending.tolist() == [1.0, 2.0]
