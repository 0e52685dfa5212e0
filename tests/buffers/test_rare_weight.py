"""`buffer.rare_weight`: achieved goals come as often as their like is asked for."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from her_exp.buffers.rarity import BINS, RareGoals, _rows_at
from her_exp.buffers.ring import StepRing
from her_exp.types import UserError
from tests.buffers.oracle import STRATEGIES, Oracle, State
from tests.buffers.side_by_side import Rig
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


def rig_of(most: float = MOST, met_weight: float = 1.0, **world: Any) -> Rig:
    changes = {"rare_weight": most, "met_weight": met_weight}
    return Rig(buffer_changes=changes, **world).begin()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("met_weight", "kind"), [(1.0, "float"), (0.2, "float"), (0.5, "int")])
def test_pairs_come_by_their_weight(strategy: str, met_weight: float, kind: str) -> None:
    rig = rig_of(MOST, met_weight, capacity=20, lanes=2, strategy=strategy, kind=kind).add(30)
    by_rarity = weights(rig.oracle, MOST)
    assert len(set(by_rarity.values())) > 1
    expected = chances(rig.oracle, met_weight, by_rarity)
    seen: Counter[Pair] = Counter()
    while sum(seen.values()) < 40 * len(expected):
        seen.update((s, goal) for s, goal in rig.check(64, 20) if goal is not None)
    assert_drawn_by(expected, seen)


def fresh(rig: Rig) -> RareGoals:
    """The weights of all rows by the bins of the last count, worked out from nothing."""
    rare, again = rig.buffer._rare, RareGoals(rig.buffer._ring, MOST)
    again._low, again._width, again._ratio = rare._low, rare._width, rare._ratio
    again._top = 0.0
    again._weigh(rig.buffer._ring.filled)
    return again


def test_counts_stand_still_for_a_while_and_new_rows_are_weighed_by_them() -> None:
    """Also while the ring is written over, many times, and where several rows came between two draws."""
    rig = rig_of(capacity=1500, lanes=3, lengths=(5, 8)).add(600)
    rare, counts, live = rig.buffer._rare, [], rig.buffer._ring.rows * 3
    for round_ in range(120):
        rig.add(1 + round_ % 3)
        rig.check(10)
        rows = _rows_at(rig.buffer._ring, np.arange(rig.buffer._ring.filled))
        again = fresh(rig)
        assert np.array_equal(rare.chances(rows) * rare._top, again.chances(rows) * again._top)
        assert rare._top >= again._top
        if not counts or rare._counted != counts[-1]:
            assert rare._top == again._top
            counts.append(rare._counted)
    gaps = np.diff(counts)
    assert len(gaps) > 5
    assert (gaps > live / 40).all()
    assert (gaps < live / 25).all()  # as new rows in the ring are, however long the run


def ring_of(rows: list[tuple[float, float]]) -> StepRing:
    """One lane of rows, each with a number achieved and a number asked for."""
    one = (1, np.dtype(np.float32))
    fields = {"achieved_goal": one, "desired_goal": one}
    ring = StepRing(fields, ("desired_goal",), ("achieved_goal",), lanes=1, rows=len(rows))
    for number, (achieved, asked) in enumerate(rows):
        state = {"achieved_goal": np.array([[achieved]]), "desired_goal": np.array([[asked]])}
        ring.advance(state, np.array([number % 10 == 0]))
    return ring


@pytest.mark.parametrize("counted", [800, 400, 200])  # every 5th, 10th, 20th row
def test_a_count_of_some_rows_is_like_one_of_all(
    counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Episodes of ten rows, whose goals tell how far they are: equal strides would meet few of them."""
    monkeypatch.setattr("her_exp.buffers.rarity._COUNTED", counted)
    asked = np.random.default_rng(0).integers(10, size=400)
    ring = ring_of([(n % 10, asked[n // 10]) for n in range(4000)])
    rare = RareGoals(ring, 20)
    rare.update()
    chances = rare.chances(np.arange(4000))
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
    ring = ring_of([(height, asked(n, rng)) for n, height in enumerate(heights)])
    rare = RareGoals(ring, 20)
    rare.update()
    rows = np.arange(2000)
    rest = ring.gather(torch.from_numpy(rows), "achieved_goal")[:, 0].numpy() > 0.4
    assert len(set(rare.chances(rows[rest]).tolist())) == 1
    assert rare.chances(rows[rest])[0] > 10 * rare.chances(rows[~rest])[0]


@pytest.mark.parametrize("kind", ["float", "int"])
def test_a_restored_buffer_goes_on_with_the_same_draws(kind: str) -> None:
    world = {"capacity": 900, "lanes": 3, "strategy": "future_actual", "kind": kind}
    rig = rig_of(met_weight=0.3, **world).add(700)
    rig.check(20)
    rig.add(2)  # written to since it was counted
    again = rig.new_buffer(seed=99)
    again.load_state_dict(copy.deepcopy(rig.buffer.state_dict()))
    counted = again._rare._counted
    for _ in range(6):
        ours, theirs = rig.buffer.sample(16, 2), again.sample(16, 2)
        for one, other in zip(ours, theirs, strict=True):
            assert all(bool((a == b).all()) for a, b in zip(one, other, strict=True))
        assert again._rare._counted == rig.buffer._rare._counted == counted
        step = rig.world.step()
        for buffer in (rig.buffer, again):
            rig.give(buffer, step)


def test_another_weight_on_resume_counts_anew() -> None:
    rig = rig_of(capacity=900, lanes=3).add(400)
    rig.check(20)
    state = rig.buffer.state_dict()
    rig.arguments["rare_weight"] = 2.0
    again = rig.new_buffer(seed=9)
    again.load_state_dict(state)
    again.sample(20)
    assert again._rare._ratio.max() <= 2
    state["rare"] = None  # of a run without it, or older
    once_more = rig.new_buffer(seed=9)
    once_more.load_state_dict(state)
    once_more.sample(20)
    assert once_more._rare._counted == again._rare._counted > 0


@pytest.mark.parametrize("value", [1e12, -3e10, 0.0])
def test_a_number_that_never_changes_weighs_nothing(value: float) -> None:
    rig = rig_of(capacity=60)
    ring = rig.buffer._ring
    for name in ("achieved_goal", "desired_goal"):
        key, start, stop = ring.fields[name]
        ring.arrays[key][..., start:stop] = value
    rare = RareGoals(ring, 20)
    rare.update()
    assert (rare.chances(np.arange(ring.filled)) == 1).all()


def test_goals_that_are_no_numbers_end_the_run() -> None:
    rig = rig_of(capacity=60).add(10)
    key, start, _ = rig.buffer._ring.fields["achieved_goal"]
    rig.buffer._ring.arrays[key][0, 3, start] = np.nan
    with pytest.raises(UserError, match=r"rare_weight: a stored achieved_goal is no finite number"):
        rig.buffer.sample(10)


def test_one_leaves_the_stream_of_draws_as_it_was() -> None:
    plain, one = Rig(24, seed=3).begin().add(20), rig_of(1.0, capacity=24, seed=3).add(20)
    for _ in range(3):
        plain.check(20, 2)
        one.check(20, 2)
        assert np.array_equal(plain.buffer.last.goal_row, one.buffer.last.goal_row)


@pytest.mark.parametrize("weight", [0.5, 1001, -1, float("nan")])
def test_what_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="rare_weight"):
        rig_of(weight)


def test_a_buffer_that_was_used_draws_from_what_is_restored() -> None:
    states = []
    for seed in (3, 4):
        rig = rig_of(capacity=300, lanes=2, seed=seed, lengths=(4,), ends=("timeout",)).add(100)
        rig.check(10)
        states.append(copy.deepcopy(rig.buffer.state_dict()))
    used, new = rig.new_buffer(seed=9), rig.new_buffer(seed=9)
    used.load_state_dict(states[0])
    used.sample(20)
    for buffer in (used, new):
        buffer.load_state_dict(states[1])
    for one, other in zip(used.sample(50)[0], new.sample(50)[0], strict=True):
        assert bool((one == other).all())
