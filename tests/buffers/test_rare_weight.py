"""`buffer.rare_weight`: achieved goals come as often as their like is asked for."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from her_exp.buffers.rarity import BINS, RareGoals
from her_exp.buffers.ring import StepRing
from her_exp.types import UserError
from tests.buffers.oracle import STRATEGIES, Oracle, State
from tests.buffers.side_by_side import Both
from tests.buffers.test_met_weight import Pair, assert_drawn_by, chances

MOST = 8.0


def share_in_bin(numbers: Sequence[float], number: float, low: float, width: float) -> float:
    """How many of `numbers` lie in the same of the bins from `low` on."""

    def bin_of(x: float) -> int | None:
        place = math.floor((x - low) / width)
        return place if 0 <= place < BINS else None

    mine = bin_of(number)
    return 0.0 if mine is None else sum(bin_of(x) == mine for x in numbers) / len(numbers)


def weights(oracle: Oracle, most: float) -> dict[State, float]:
    """The slow reference: a quotient of shares for each dimension, multiplied, kept in bounds."""
    live = oracle.live()
    found = {}
    for state in live:
        weight = 1.0
        for d in range(len(np.ravel(state.achieved))):
            achieved = [float(np.ravel(s.achieved)[d]) for s in live]
            asked = [float(np.ravel(s.desired)[d]) for s in live]
            narrow = (max(achieved) - min(achieved)) / 100
            narrow = max(narrow, 1e-6 * max(1.0, abs(max(asked))))
            width = max((max(asked) - min(asked)) / (BINS - 1), narrow)
            low = (min(asked) + max(asked) - width * BINS) / 2
            own = float(np.ravel(state.achieved)[d])
            above, below = (share_in_bin(n, own, low, width) for n in (asked, achieved))
            weight *= min(max(above / below if below else 0.0, 1 / most), most)
        found[state] = min(max(weight, 1 / most), most)
    return found


def both_of(most: float = MOST, met_weight: float = 1.0, **world: Any) -> Both:
    changes = {"rare_weight": most, "met_weight": met_weight}
    return Both(buffer_changes=changes, **world).begin()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("met_weight", "kind"), [(1.0, "float"), (0.2, "float"), (0.5, "int")])
def test_pairs_come_by_their_weight(strategy: str, met_weight: float, kind: str) -> None:
    both = both_of(MOST, met_weight, capacity=20, lanes=2, strategy=strategy, kind=kind).add(30)
    by_rarity = weights(both.oracle, MOST)
    assert len(set(by_rarity.values())) > 1
    expected = chances(both.oracle, met_weight, by_rarity)
    seen: Counter[Pair] = Counter()
    while sum(seen.values()) < 40 * len(expected):
        seen.update((s, goal) for s, goal in both.check(64, 20) if goal is not None)
    assert_drawn_by(expected, seen)


def ring_of(achieved: np.ndarray, asked: np.ndarray, starts: np.ndarray, rows: int) -> StepRing:
    """A ring of so many rows a lane, after rows of numbers achieved and asked for: (time, lanes) each."""
    one = (1, np.dtype(np.float32))
    fields = {"achieved_goal": one, "desired_goal": one}
    ring = StepRing(fields, achieved.shape[1], rows)
    advance(ring, achieved, asked, starts)
    return ring


def advance(ring: StepRing, achieved: np.ndarray, asked: np.ndarray, starts: np.ndarray) -> None:
    for have, want, start in zip(achieved, asked, starts, strict=True):
        ring.advance({"achieved_goal": have[:, None], "desired_goal": want[:, None]}, start)


def chances_of(ring: StepRing, rare: RareGoals) -> np.ndarray:
    """The chances of all rows, (time, lanes), the newest first."""
    return rare.chances(ring.rows_back(np.arange(ring.filled)[:, None], np.arange(ring.lanes)))


def test_counts_stand_still_for_a_while_and_new_rows_are_weighed_by_them() -> None:
    """Also while the ring is written over, many times, and where several rows came between two draws."""
    rng = np.random.default_rng(0)

    def rows(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rng.normal(size=(n, 3)), rng.normal(1, 2, (n, 3)), rng.random((n, 3)) < 0.1

    ring = ring_of(*rows(600), rows=500)
    rare, counts = RareGoals(ring, MOST), []
    for round_ in range(120):
        advance(ring, *rows(1 + round_ % 3))
        rare.update()
        state = rare.state_dict()
        again = RareGoals(ring, MOST)
        again.load_state_dict(state)  # weighs all rows by the bins
        assert np.array_equal(chances_of(ring, rare), chances_of(ring, again))
        assert chances_of(ring, rare).max() <= 1
        if not counts or state["counted"] != counts[-1]:
            assert chances_of(ring, rare).max() == 1
            counts.append(state["counted"])
    gaps = np.diff(counts)
    assert len(gaps) > 5
    assert (gaps > ring.steps / 40).all()
    assert (gaps < ring.steps / 25).all()  # as new rows in the ring are, however long the run


@pytest.mark.parametrize("rows", [5000, 10_000, 20_000])  # of which every 5th, 10th, 20th counts
def test_a_count_of_some_rows_is_like_one_of_all(rows: int) -> None:
    """Episodes of ten rows, whose goals tell how far they are: equal strides would meet few of them."""
    at, lanes = np.arange(rows)[:, None], 100
    asked = np.random.default_rng(0).integers(10, size=(rows // 10, lanes))
    place = np.broadcast_to(at % 10, (rows, lanes))
    ring = ring_of(place, np.repeat(asked, 10, axis=0), place == 0, rows)
    rare = RareGoals(ring, 20)
    rare.update()
    chances = chances_of(ring, rare)
    assert chances.min() > chances.max() / 4


@pytest.mark.parametrize(
    "asked",
    [lambda n, rng: 0.42469, lambda n, rng: 0.42469 if n % 2 else rng.uniform(0.42469, 0.87)],
    ids=["one height", "half of them above it"],
)
def test_neighbours_of_what_is_asked_for_are_not_outside(asked: Any) -> None:
    """A box at rest stands a rounding error above or below the one height that is asked for."""
    rng = np.random.default_rng(0)
    heights = 0.42469 + rng.normal(0, 1e-6, 2000)
    heights[::100] = 0.0  # on the floor
    wanted = np.array([asked(n, rng) for n in range(2000)])
    ring = ring_of(heights[:, None], wanted[:, None], np.arange(2000)[:, None] % 10 == 0, 2000)
    rare = RareGoals(ring, 20)
    rare.update()
    chances, rest = chances_of(ring, rare)[::-1, 0], heights > 0.4
    assert len(set(chances[rest].tolist())) == 1
    assert chances[rest][0] > 10 * chances[~rest][0]


@pytest.mark.parametrize("kind", ["float", "int"])
def test_a_restored_buffer_goes_on_with_the_same_draws(kind: str) -> None:
    world = {"capacity": 900, "lanes": 3, "strategy": "future_actual", "kind": kind}
    both = both_of(met_weight=0.3, **world).add(700)
    both.check(20)
    both.add(2)  # written to since it was counted
    again = both.new_buffer(seed=99)
    again.load_state_dict(copy.deepcopy(both.buffer.state_dict()))
    counted = both.buffer.state_dict()["rare"]["counted"]
    for _ in range(6):
        ours, theirs = both.buffer.sample(16, 2), again.sample(16, 2)
        for one, other in zip(ours, theirs, strict=True):
            assert all(bool((a == b).all()) for a, b in zip(one, other, strict=True))
        for buffer in (both.buffer, again):
            assert buffer.state_dict()["rare"]["counted"] == counted
        step = both.world.step()
        for buffer in (both.buffer, again):
            both.give(buffer, step)


def test_another_weight_on_resume_counts_anew() -> None:
    both = both_of(capacity=900, lanes=3).add(400)
    both.check(20)
    state = both.buffer.state_dict()
    both.arguments["rare_weight"] = 2.0
    again = both.new_buffer(seed=9)
    again.load_state_dict(state)
    again.sample(20)
    bins = again.state_dict()["rare"]
    assert bins["ratio"].max() <= 2
    state["rare"] = None  # of a run without it, or older
    once_more = both.new_buffer(seed=9)
    once_more.load_state_dict(state)
    once_more.sample(20)
    assert once_more.state_dict()["rare"]["counted"] == bins["counted"] > 0


@pytest.mark.parametrize("value", [1e12, -3e10, 0.0])
def test_a_number_that_never_changes_weighs_nothing(value: float) -> None:
    same = np.full((60, 1), value)
    ring = ring_of(same, same, np.arange(60)[:, None] % 5 == 0, 60)
    rare = RareGoals(ring, 20)
    rare.update()
    assert (chances_of(ring, rare) == 1).all()


def test_goals_that_are_no_numbers_end_the_run() -> None:
    both = both_of(capacity=60).add(10)
    step = both.world.step()
    step.next_observation["achieved_goal"][...] = np.nan
    both.give(both.buffer, step)
    with pytest.raises(UserError, match=r"rare_weight: a stored achieved_goal is no finite number"):
        both.buffer.sample(10)


def test_one_leaves_the_stream_of_draws_as_it_was() -> None:
    plain, one = Both(24, seed=3).begin().add(20), both_of(1.0, capacity=24, seed=3).add(20)
    for _ in range(3):
        plain.check(20, 2)
        one.check(20, 2)
        assert np.array_equal(plain.buffer.last.goal_row, one.buffer.last.goal_row)


@pytest.mark.parametrize("weight", [0.5, 1001, -1, float("nan")])
def test_what_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="rare_weight"):
        both_of(weight)


def test_a_buffer_that_was_used_draws_from_what_is_restored() -> None:
    states = []
    for seed in (3, 4):
        both = both_of(capacity=300, lanes=2, seed=seed, lengths=(4,), ends=("timeout",)).add(100)
        both.check(10)
        states.append(copy.deepcopy(both.buffer.state_dict()))
    used, new = both.new_buffer(seed=9), both.new_buffer(seed=9)
    used.load_state_dict(states[0])
    used.sample(20)
    for buffer in (used, new):
        buffer.load_state_dict(states[1])
    for one, other in zip(used.sample(50)[0], new.sample(50)[0], strict=True):
        assert bool((one == other).all())
