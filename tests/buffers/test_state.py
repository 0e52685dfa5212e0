"""The state of the hindsight buffer, saved at any moment, goes on with the same samples."""

from __future__ import annotations

import io

import pytest
import torch

from tests.buffers.audit import compare
from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Rig


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_state_dict_repeats_the_same_samples(strategy: str) -> None:
    rig = Rig(31, lanes=3, strategy=strategy, seed=3).begin().add(37)
    rig.check()
    written = io.BytesIO()
    torch.save(rig.buffer.state_dict(), written)
    written.seek(0)
    copy = rig.new_buffer(seed=999)
    copy.load_state_dict(torch.load(written, weights_only=True))
    assert copy.size == rig.buffer.size
    for steps in (0, 1, 5, 30):
        for _ in range(steps):
            step = rig.world.step()
            rig.oracle.add(step)
            rig.give(rig.buffer, step)
            rig.give(copy, step)
        one, other = rig.buffer.sample(17, 2), copy.sample(17, 2)
        compare(copy, rig.oracle, other)
        for left, right in zip(one, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
        for name in ("lane", "row", "goal_row", "relabelled"):
            assert (getattr(rig.buffer.last, name) == getattr(copy.last, name)).all()


@pytest.mark.parametrize("steps", [0, 1, 3, 200])
def test_state_dict_at_any_moment(steps: int) -> None:
    """Before the first step, in open episodes, long after the ring was full; then a barrier."""
    rig = Rig(24, lanes=2, kind="int", seed=steps).begin().add(steps)
    written = io.BytesIO()
    torch.save(rig.buffer.state_dict(), written)
    written.seek(0)
    rig.buffer = rig.new_buffer(seed=999)
    rig.buffer.load_state_dict(torch.load(written, weights_only=True))
    rig.add(2).audit(at_least=500)
    rig.begin().add(2).audit(at_least=500)


def test_state_dict_of_a_buffer_never_used() -> None:
    rig = Rig(24, lanes=2)
    state = rig.buffer.state_dict()
    rig.buffer = rig.new_buffer(seed=999)
    rig.buffer.load_state_dict(state)
    rig.begin().add(9).audit()


def test_a_loaded_buffer_shares_no_memory_with_the_first() -> None:
    rig = Rig(24, lanes=2, seed=5).begin().add(30)
    other = Rig(24, lanes=2, seed=6)
    other.buffer.load_state_dict(rig.buffer.state_dict())
    other.oracle = Rig(24, lanes=2, seed=5).begin().add(30).oracle
    other.begin().add(17).audit(at_least=500)
    rig.audit(at_least=500)
