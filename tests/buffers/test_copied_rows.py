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
WEIGHTS = {"met_weight": 0.3, "rare_weight": 4.0}


def drawn(both: Both) -> Any:
    return [[part.clone() for part in b.parts.values()] for b in both.buffer.sample(12, 3)]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("world", "weights"),
    [
        ({"kind": "float"}, {}),
        ({"kind": "int", "lanes": 3, "n_step": 3, "moves": 0.2}, {}),
        ({"kind": "bytes", "lanes": 2, "n_step": 2}, {}),
        ({"kind": "float", "lanes": 2}, WEIGHTS),
    ],
)
def test_what_is_drawn_is_the_same(
    strategy: str, world: dict[str, Any], weights: dict[str, float]
) -> None:
    """Where few rows or many have come since the last draw, and round the ring several times."""
    settings = {"capacity": 13 * world.get("lanes", 1), "strategy": strategy, "seed": 4, **world}
    plain = Both(buffer_changes=weights, **settings).begin()
    copied = Both(buffer_changes=weights | COPIED, **settings).begin()
    for rows in (3, 1, 1, 11, 2, 30, 5, 1, 12, 13, 14):
        plain.add(rows), copied.add(rows)
        assert equal(drawn(plain), drawn(copied))
        assert equal(drawn(plain), drawn(copied))  # nothing has come
    copied.check(64)


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
    (batch,) = both.buffer.sample(4)
    assert {part.device for part in batch.parts.values()} == {torch.device("meta")}
