"""A ring whose rows are kept a second time, as on a GPU: what is drawn is the same to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both
from tests.equality import equal

#: Another device than "cpu" to the buffer, so rows are copied; but the same memory.
COPIED = {"device": "cpu:0"}


def drawn(both: Both, batch_size: int = 12, n_batches: int = 3) -> Any:
    return [
        [part.clone() for part in b.parts.values()]
        for b in both.buffer.sample(batch_size, n_batches)
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("lanes", "kind"), [(1, "float"), (3, "int"), (2, "float")])
def test_what_is_drawn_is_the_same(strategy: str, lanes: int, kind: str) -> None:
    """Where few rows or many have come since the last draw, and round the ring several times."""
    settings: dict[str, Any] = {"capacity": 13 * lanes, "lanes": lanes, "kind": kind, "seed": 4}
    plain = Both(strategy=strategy, **settings).begin()
    copied = Both(strategy=strategy, buffer_changes=COPIED, **settings).begin()
    for rows in (3, 1, 1, 11, 2, 30, 5, 1, 12, 13, 14):
        plain.add(rows), copied.add(rows)
        assert equal(drawn(plain), drawn(copied))
        assert equal(drawn(plain), drawn(copied))  # nothing has come
    copied.check(64)


@pytest.mark.parametrize("weights", [{"met_weight": 0.3}, {"rare_weight": 4.0}])
def test_weighted_draws_are_the_same(weights: dict[str, float]) -> None:
    plain = Both(40, lanes=2, buffer_changes=weights, seed=2).begin().add(30)
    copied = Both(40, lanes=2, buffer_changes=weights | COPIED, seed=2).begin().add(30)
    for _ in range(4):
        assert equal(drawn(plain), drawn(copied))
        plain.add(7), copied.add(7)


def test_rows_that_were_loaded_are_drawn() -> None:
    both = Both(20, lanes=2, buffer_changes=COPIED).begin().add(31)
    drawn(both)
    other = both.new_buffer(9)
    other.begin(both.world.reset())
    other.load_state_dict(both.buffer.state_dict())
    expected = drawn(both)
    both.buffer = other
    assert equal(expected, drawn(both))


def test_storage_cpu_keeps_no_copy() -> None:
    """Batches still come on the device."""
    both = Both(20, buffer_changes={"device": "meta", "storage": "cpu"}).begin().add(9)
    assert all(
        part.device == torch.device("meta") for part in both.buffer.sample(4)[0].parts.values()
    )
