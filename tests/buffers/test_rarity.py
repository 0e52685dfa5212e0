"""How rare goals are counted: now and then, on some rows, and in bins that rounding does not leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from her_exp.buffers.rarity import RareGoals
from her_exp.buffers.ring import StepRing


def ring_of(achieved: Any, asked: Any, starts: Any, rows: int) -> StepRing:
    """A ring of so many rows a lane, after rows of numbers achieved and asked for: (time, lanes) each."""
    one = (1, np.dtype(np.float32))
    fields = {"achieved_goal": one, "desired_goal": one}
    ring = StepRing(fields, ("desired_goal",), ("achieved_goal",), np.shape(achieved)[1], rows)
    advance(ring, achieved, asked, starts)
    return ring


def advance(ring: StepRing, achieved: Any, asked: Any, starts: Any) -> None:
    for have, want, start in zip(achieved, asked, starts, strict=True):
        ring.advance({"achieved_goal": have[:, None], "desired_goal": want[:, None]}, start)


def chances(ring: StepRing, rare: RareGoals | None = None, most: float = 20) -> np.ndarray:
    """The chances of all rows, (time, lanes), the newest first; counted now unless they were."""
    if rare is None:
        rare = RareGoals(ring, most)
        rare.update()
    return rare.chances(ring.rows_back(np.arange(ring.filled)[:, None], np.arange(ring.lanes)))


def test_counts_stand_still_for_a_while_and_new_rows_are_weighed_by_them() -> None:
    """Also while the ring is written over, many times, and where several rows came between two draws."""
    rng = np.random.default_rng(0)

    def rows(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rng.normal(size=(n, 3)), rng.normal(1, 2, (n, 3)), rng.random((n, 3)) < 0.1

    ring = ring_of(*rows(600), rows=500)
    rare, counts = RareGoals(ring, 8), []
    for round_ in range(120):
        advance(ring, *rows(1 + round_ % 3))
        rare.update()
        state = rare.state_dict()
        again = RareGoals(ring, 8)
        again.load_state_dict(state)  # weighs all rows by the bins
        assert np.array_equal(chances(ring, rare), chances(ring, again))
        assert chances(ring, rare).max() <= 1
        if not counts or state["counted"] != counts[-1]:
            assert chances(ring, rare).max() == 1
            counts.append(state["counted"])
    gaps = np.diff(counts)
    assert len(gaps) > 5
    # As new rows in the ring are, however long the run.
    assert ring.steps / 40 < gaps.min() <= gaps.max() < ring.steps / 25


@pytest.mark.parametrize("rows", [5000, 10_000, 20_000])  # of which every 5th, 10th, 20th counts
def test_a_count_of_some_rows_is_like_one_of_all(rows: int) -> None:
    """Episodes of ten rows, whose goals tell how far they are: equal strides would meet few of them."""
    asked = np.random.default_rng(0).integers(10, size=(rows // 10, 100))
    place = np.broadcast_to(np.arange(rows)[:, None] % 10, (rows, 100))
    found = chances(ring_of(place, np.repeat(asked, 10, axis=0), place == 0, rows))
    assert found.min() > found.max() / 4


@pytest.mark.parametrize("high", [0.42469, 0.87], ids=["one height", "half of them above it"])
def test_neighbours_of_what_is_asked_for_are_not_outside(high: float) -> None:
    """A box at rest stands a rounding error above or below the one height that is asked for."""
    rng = np.random.default_rng(0)
    heights = 0.42469 + rng.normal(0, 1e-6, (2000, 1))
    heights[::100] = 0.0  # on the floor
    asked = np.full((2000, 1), 0.42469)
    asked[::2] = rng.uniform(0.42469, high, (1000, 1))
    found = chances(ring_of(heights, asked, np.arange(2000)[:, None] % 10 == 0, 2000))[::-1]
    rest = heights > 0.4
    assert len(set(found[rest].tolist())) == 1
    assert found[rest][0] > 10 * found[~rest][0]


@pytest.mark.parametrize("value", [1e12, -3e10, 0.0])
def test_a_number_that_never_changes_weighs_nothing(value: float) -> None:
    same = np.full((60, 1), value)
    assert (chances(ring_of(same, same, np.arange(60)[:, None] % 5 == 0, 60)) == 1).all()
