"""`buffer.met_weight`, `buffer.rare_weight`: some relabelled steps, some achieved goals come less often."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest

from her_exp.buffers.rarity import RareGoals
from her_exp.buffers.ring import StepRing
from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both
from tests.buffers.weights import assert_drawn_by, chances
from tests.equality import differences


def both_of(met_weight: float = 1.0, rare_weight: float = 1.0, **world: Any) -> Both:
    changes = {"met_weight": met_weight, "rare_weight": rare_weight}
    return Both(buffer_changes=changes, **world).begin()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("float", (0.1, 1.0)), ("bytes", (0.5, 1.0)),
        ("float", (1.0, 8.0)), ("float", (0.2, 8.0)), ("int", (0.5, 8.0)),
    ],
)  # fmt: skip
def test_pairs_come_by_their_weight(strategy: str, kind: str, weights: Any) -> None:
    """Steps that keep their own goal are drawn as ever, and as many."""
    both = both_of(*weights, capacity=20, lanes=2, strategy=strategy, kind=kind).add(30)
    expected = chances(both.oracle, *weights)
    assert strategy == "final" or len({round(p, 9) for p in expected.values()}) > 1
    seen: Counter[object] = Counter()
    own: Counter[object] = Counter()
    while sum(seen.values()) < 40 * len(expected):
        for state, goal in both.check(65, 20):  # reward and end are what the goal's functions say
            seen.update([] if goal is None else [(state, goal)])
            own.update([state] if goal is None else [])
        assert both.buffer.last.relabelled.sum() == 52 * 20
    assert_drawn_by(expected, seen)
    states = both.oracle.drawable()
    assert_drawn_by(dict.fromkeys(states, 1 / len(states)), own)


def test_where_every_goal_was_met_all_come_alike() -> None:
    both = Both(20, buffer_changes={"met_weight": 0.02})
    both.world.functions.reward = lambda achieved, desired, info: np.zeros(len(achieved))
    both.begin().add(15).audit(at_least=400)


@pytest.mark.parametrize("kind", ["float", "int"])
def test_a_restored_buffer_goes_on_with_the_same_draws(kind: str) -> None:
    """Also one that was used for something else before."""
    world = {"capacity": 900, "lanes": 3, "strategy": "future_actual", "kind": kind}
    both = both_of(0.3, 8.0, **world).add(700)
    both.buffer.sample(20)
    both.add(2)  # written to since it was counted
    state = copy.deepcopy(both.buffer.state_dict())
    used = both_of(0.3, 8.0, **world, seed=5, lengths=(4,)).add(100).buffer
    used.sample(20)
    buffers = [both.buffer, both.new_buffer(seed=99), used]
    for buffer in buffers[1:]:
        buffer.load_state_dict(copy.deepcopy(state))
    for _ in range(6):
        ours, *theirs = [buffer.sample(16, 2) for buffer in buffers]
        assert [differences(ours, other) for other in theirs] == [[], []]
        counted = {buffer.state_dict()["rare"]["counted"] for buffer in buffers}
        assert counted == {state["rare"]["counted"]}
        step = both.world.step()
        for buffer in buffers:
            both.give(buffer, step)


def test_another_weight_on_resume_counts_anew() -> None:
    both = both_of(rare_weight=8.0, capacity=900, lanes=3).add(400)
    both.buffer.sample(20)
    state = both.buffer.state_dict()
    both.arguments["rare_weight"] = 2.0
    for saved in (state, state | {"rare": None}):  # of a run without it, or older
        again = both.new_buffer(seed=9)
        again.load_state_dict(saved)
        again.sample(20)
        bins = again.state_dict()["rare"]
        assert bins["ratio"].max() <= 2
        assert bins["counted"] > 0


def test_goals_are_counted_anew_when_one_step_in_32_is_new() -> None:
    """Of those in the ring, however long the run."""
    both = both_of(rare_weight=8.0, capacity=1500, lanes=3, lengths=(9,)).add(600)
    counts = []
    for _ in range(200):
        both.add().buffer.sample(1)
        counts.append(both.buffer.state_dict()["rare"]["counted"])
    gaps = np.diff(np.unique(counts))
    assert 1350 / 40 < gaps.min() <= gaps.max() < 1350 / 25


def chances_of(achieved: Any, asked: Any, starts: Any) -> np.ndarray:
    """The chances of rows of numbers achieved and asked for, (time, lanes) each."""
    fields = dict.fromkeys(("achieved_goal", "desired_goal"), (1, np.dtype(np.float32)))
    ring = StepRing(fields, achieved.shape[1], len(achieved))
    for have, want, start in zip(achieved, asked, starts, strict=True):
        ring.advance({"achieved_goal": have[:, None], "desired_goal": want[:, None]}, start)
    rare = RareGoals(ring, 20)
    rare.update()
    ages = np.arange(ring.filled)[::-1, None]
    return rare.chances(ring.rows_back(ages, np.arange(ring.lanes)))


@pytest.mark.parametrize("rows", [5000, 20_000])  # of which every 5th, 20th counts
def test_a_count_of_some_rows_is_like_one_of_all(rows: int) -> None:
    """Episodes of ten rows, whose goals tell how far they are: equal strides would meet few of them."""
    asked = np.random.default_rng(0).integers(10, size=(rows // 10, 100))
    place = np.broadcast_to(np.arange(rows)[:, None] % 10, (rows, 100))
    found = chances_of(place, np.repeat(asked, 10, axis=0), place == 0)
    assert found.min() > found.max() / 4


@pytest.mark.parametrize("high", [0.42469, 0.87], ids=["one height", "half of them above it"])
def test_neighbours_of_what_is_asked_for_are_not_outside(high: float) -> None:
    """A box at rest stands a rounding error above or below the one height that is asked for."""
    rng = np.random.default_rng(0)
    heights = 0.42469 + rng.normal(0, 1e-6, (2000, 1))
    heights[::100] = 0.0  # on the floor
    asked = np.full((2000, 1), 0.42469)
    asked[::2] = rng.uniform(0.42469, high, (1000, 1))
    found = chances_of(heights, asked, np.arange(2000)[:, None] % 10 == 0)
    rest = heights > 0.4
    assert len(set(found[rest].tolist())) == 1
    assert found[rest][0] > 10 * found[~rest][0]


@pytest.mark.parametrize("value", [1e12, -3e10, 0.0])
def test_a_number_that_never_changes_weighs_nothing(value: float) -> None:
    same = np.full((60, 1), value)
    assert (chances_of(same, same, np.arange(60)[:, None] % 5 == 0) == 1).all()
