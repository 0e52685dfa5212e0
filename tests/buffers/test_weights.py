"""`buffer.met_weight`, `buffer.rare_weight`: some relabelled steps, some achieved goals come less often."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest

from her_exp.types import UserError
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


def test_one_leaves_the_stream_of_draws_as_it_was() -> None:
    plain, one = Both(24, seed=3).begin().add(20), both_of(capacity=24, seed=3).add(20)
    for _ in range(3):
        plain.check(20, 2)
        one.check(20, 2)
        assert np.array_equal(plain.buffer.last.row, one.buffer.last.row)
        assert np.array_equal(plain.buffer.last.goal_row, one.buffer.last.goal_row)
    assert differences(*(both.buffer.state_dict()["generator"] for both in (plain, one))) == []


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        *(("met_weight", weight) for weight in (0.0, 1e-9, -0.1, 1.1, float("nan"))),
        *(("rare_weight", weight) for weight in (0.5, 1001, -1, float("nan"))),
    ],
)
def test_what_is_no_weight_is_refused(name: str, weight: float) -> None:
    with pytest.raises(ValueError, match=name):
        both_of(**{name: weight})


@pytest.mark.parametrize("kind", ["float", "int"])
def test_a_restored_buffer_goes_on_with_the_same_draws(kind: str) -> None:
    """Also one that was used for something else before."""
    world = {"capacity": 900, "lanes": 3, "strategy": "future_actual", "kind": kind}
    both = both_of(0.3, 8.0, **world).add(700)
    both.check(20)
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
    both.check(20)
    state = both.buffer.state_dict()
    both.arguments["rare_weight"] = 2.0
    for saved in (state, state | {"rare": None}):  # of a run without it, or older
        again = both.new_buffer(seed=9)
        again.load_state_dict(saved)
        again.sample(20)
        bins = again.state_dict()["rare"]
        assert bins["ratio"].max() <= 2
        assert bins["counted"] > 0


def test_goals_that_are_no_numbers_end_the_run() -> None:
    both = both_of(rare_weight=8.0, capacity=60).add(10)
    step = both.world.step()
    step.next_observation["achieved_goal"][...] = np.nan
    both.give(both.buffer, step)
    with pytest.raises(UserError, match=r"rare_weight: a stored achieved_goal is no finite number"):
        both.buffer.sample(10)
