"""Any order of begin, add, sample and reload, any episodes: the hindsight buffer agrees with its model."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both
from tests.buffers.world import World

pytestmark = pytest.mark.heavy
# The same examples in each run; take `derandomize` out to look for more.
SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, database=None)

CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("begin")),
        st.tuples(st.just("add"), st.integers(1, 12)),
        st.tuples(st.just("add"), st.integers(1, 90)),
        st.tuples(st.just("sample"), st.integers(1, 30), st.integers(1, 3)),
        st.tuples(st.just("reload")),
    ),
    max_size=14,
)
WORLDS = {
    "lanes": st.integers(1, 4),
    "k": st.sampled_from([0, 1, 4, 8, math.inf]),
    "n_step": st.sampled_from([1, 1, 2, 3, 7, 12]),
    "kind": st.sampled_from(["float", "int", "bytes"]),
    "lengths": st.lists(st.integers(1, 50), min_size=1, max_size=4),
    "moves": st.sampled_from([0.0, 0.0, 0.3]),  # of the env's goal
    "seed": st.integers(0, 2**32 - 2),
}
WEIGHTS = st.sampled_from([{}, {}, {"met_weight": 0.3}, {"rare_weight": 4.0}])
#: Rows are kept a second time where it is another device than "cpu", as on a GPU; here in the same memory.
DEVICES = st.sampled_from(["cpu", "cpu:0"])


def sample(both: Both, batch_size: int, n_batches: int) -> None:
    """Draw and compare, or see it refused where there is nothing to draw."""
    if both.oracle.drawable():
        both.check(batch_size, n_batches)
        return
    with pytest.raises(ValueError, match="no step yet"):
        both.buffer.sample(batch_size, n_batches)


def reloaded(both: Both) -> Any:
    """A buffer of another seed and past, with the state of the old one as it is read from a file."""
    file = io.BytesIO()
    torch.save(both.buffer.state_dict(), file)
    file.seek(0)
    buffer, other = both.new_buffer(seed=999), World(both.world.kind, both.world.lanes, 7, (2,))
    buffer.begin(other.reset())
    for _ in range(5):
        buffer.add(other.step())
    buffer.sample(3)
    buffer.load_state_dict(torch.load(file, weights_only=True))
    return buffer


@pytest.mark.parametrize("strategy", [*STRATEGIES, "geometric"])
@SETTINGS
@given(
    calls=CALLS,
    rows=st.integers(2, 40),
    spare=st.integers(0, 3),
    weights=WEIGHTS,
    device=DEVICES,
    world=st.fixed_dictionaries(WORLDS),
)
def test_any_interleaving(strategy, calls, rows, spare, weights, device, world):
    lanes = world["lanes"]
    capacity, changes = rows * lanes + min(spare, lanes - 1), weights | {"device": device}
    both = Both(capacity, strategy=strategy, buffer_changes=changes, **world).begin()
    for name, *numbers in [*calls, ("sample", 40, 2)]:
        if name == "begin":
            both.begin()
        elif name == "sample":
            sample(both, *numbers)
        elif name == "reload":
            both.buffer = reloaded(both)
        else:
            both.add(*numbers)
        assert both.buffer.size == both.oracle.size


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(SETTINGS, max_examples=50)
@given(
    rows=st.integers(3, 9),
    lanes=st.integers(1, 3),
    steps=st.integers(1, 40),
    barrier=st.booleans(),
    lengths=st.lists(st.integers(1, 12) | st.just(10**6), min_size=1, max_size=6),
    seed=st.integers(0, 2**32 - 2),
)
def test_all_that_is_allowed_comes_equally_often(
    strategy, rows, lanes, steps, barrier, lengths, seed
):
    """Also where some lanes hold more steps than others, and episodes are longer than the ring."""
    world = {"lengths": lengths, "ends": ("success", "timeout", "silent"), "seed": seed}
    both = Both(rows * lanes, lanes=lanes, strategy=strategy, **world).begin()
    both.add(steps)
    if barrier:
        both.begin().add(1)
    if both.oracle.drawable():
        both.audit(at_least=400)
