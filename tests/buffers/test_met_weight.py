"""`buffer.met_weight`: relabelled steps whose goal was met before them come less often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.buffers.audit import p_value
from tests.buffers.oracle import STRATEGIES, Goal, Oracle, State
from tests.buffers.side_by_side import Both

Pair = tuple[State, Goal]


def met(oracle: Oracle, state: State, goal: Goal) -> bool:
    """Say whether the goal is worth to the state before the step what it is worth to itself."""
    desired = goal[0].desired if goal[1] else goal[0].achieved
    info = {name: value[None] for name, value in state.taken.info.items()}
    before, reached = (
        oracle.functions.reward(place[None], desired[None], info)[0]
        for place in (state.achieved, desired)
    )
    return bool(before >= reached)


def chances(
    oracle: Oracle, weight: float, of_achieved: Mapping[State, float] | None = None
) -> dict[Pair, float]:
    """The chance of each relabelled pair: that of a plain draw, times `weight` where it is met.

    Times the weight of the goal, too, where achieved goals have one. Half of the goals are asked for,
    where any are.
    """
    tables: dict[bool, dict[Pair, float]] = {}
    for state in oracle.drawable():
        goals = oracle.allowed_goals(state)
        kinds = Counter(asked for _, asked in goals)
        for goal in goals:
            chance = (weight if met(oracle, state, goal) else 1.0) / kinds[goal[1]]
            if of_achieved is not None and not goal[1]:
                chance *= of_achieved[goal[0]]
            tables.setdefault(goal[1], {})[state, goal] = chance
    return {
        pair: chance / sum(table.values()) / len(tables)
        for table in tables.values()
        for pair, chance in table.items()
    }


def assert_drawn_by(expected: Mapping[Pair, float], seen: Counter[Pair]) -> None:
    assert seen.keys() <= expected.keys()
    n = sum(seen.values())
    chi2 = sum((seen[pair] - n * p) ** 2 / (n * p) for pair, p in expected.items())
    assert p_value(chi2, len(expected) - 1) > 1e-6


def both_of(weight: float, **world: Any) -> Both:
    return Both(buffer_changes={"met_weight": weight}, **world).begin()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("weight", "kind"), [(0.1, "float"), (0.5, "bytes")])
def test_pairs_come_by_their_weight(strategy: str, weight: float, kind: str) -> None:
    both = both_of(weight, capacity=20, lanes=2, strategy=strategy, kind=kind, lengths=(3, 5)).add(
        30
    )
    expected = chances(both.oracle, weight)
    light = sum(met(both.oracle, *pair) for pair in expected)
    assert 0 < light < len(expected)
    seen: Counter[Pair] = Counter()
    own: Counter[State] = Counter()
    while sum(seen.values()) < 25 * len(expected):
        for state, goal in both.check(64, 20):  # reward and end are what the goal's functions say
            if goal is None:
                own[state] += 1
            else:
                seen[state, goal] += 1
    assert_drawn_by(expected, seen)
    # Steps that keep their own goal are drawn as ever.
    states, n = both.oracle.drawable(), sum(own.values())
    chi2 = sum((own[s] - n / len(states)) ** 2 / (n / len(states)) for s in states)
    assert p_value(chi2, len(states) - 1) > 1e-6


def test_the_share_of_relabelled_steps_stays() -> None:
    both = both_of(0.05, capacity=40, k=4).add(30)
    for _ in range(20):
        both.check(50, 3)
        assert both.buffer.last.relabelled.sum() == 4 * 3 * 50 // 5


def test_where_every_goal_was_met_all_come_alike() -> None:
    both = Both(20, buffer_changes={"met_weight": 0.02})
    both.world.functions.reward = lambda achieved, desired, info: np.zeros(len(achieved))
    both.begin().add(15).audit(at_least=400)


def test_one_leaves_the_stream_of_draws_as_it_was() -> None:
    plain, one = Both(24, seed=3).begin().add(20), both_of(1.0, capacity=24, seed=3).add(20)
    for _ in range(3):
        assert plain.check(20, 2) is not None
        one.check(20, 2)
        assert np.array_equal(plain.buffer.last.row, one.buffer.last.row)
        assert np.array_equal(plain.buffer.last.goal_row, one.buffer.last.goal_row)
    states = [both.buffer.state_dict()["generator"] for both in (plain, one)]
    assert states[0] == states[1]


@pytest.mark.parametrize("weight", [0.0, 1e-9, -0.1, 1.1, float("nan")])
def test_what_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="met_weight"):
        both_of(weight)
