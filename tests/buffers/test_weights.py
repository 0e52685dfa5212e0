"""`buffer.met_weight`, `buffer.rare_weight`: how often pairs of a step and a goal come, slow and obvious."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from her_exp.buffers.rarity import BINS, RareGoals
from her_exp.buffers.ring import StepRing
from tests.buffers.audit import p_value
from tests.buffers.oracle import STRATEGIES, Goal, Oracle, State
from tests.buffers.side_by_side import Both
from tests.equality import differences

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


def rarity(oracle: Oracle, most: float) -> dict[State, float]:
    """A quotient of shares for each dimension of a state's achieved goal, multiplied, kept in bounds."""
    live = oracle.live()
    weight = np.ones(len(live))
    for d in range(np.size(live[0].achieved)):
        achieved = [float(np.ravel(s.achieved)[d]) for s in live]
        asked = [float(np.ravel(s.desired)[d]) for s in live]
        narrow = (max(achieved) - min(achieved)) / 100
        narrow = max(narrow, 1e-6 * max(1.0, abs(max(asked))))
        width = max((max(asked) - min(asked)) / (BINS - 1), narrow)
        low = (min(asked) + max(asked) - width * BINS) / 2
        for i, own in enumerate(achieved):
            above, below = (share_in_bin(n, own, low, width) for n in (asked, achieved))
            weight[i] *= min(max(above / below if below else 0.0, 1 / most), most)
    return dict(zip(live, np.clip(weight, 1 / most, most), strict=True))


def share_in_bin(numbers: Sequence[float], number: float, low: float, width: float) -> float:
    """How many of `numbers` lie in the same of the bins from `low` on."""

    def bin_of(x: float) -> int | None:
        place = math.floor((x - low) / width)
        return place if 0 <= place < BINS else None

    mine = bin_of(number)
    return 0.0 if mine is None else sum(bin_of(x) == mine for x in numbers) / len(numbers)


def chances(oracle: Oracle, met_weight: float, rare_weight: float) -> dict[Pair, float]:
    """The chance of each relabelled pair: that of a plain draw, times the weights of pair and goal.

    Half of the goals are asked for, where any are.
    """
    of_achieved = rarity(oracle, rare_weight) if rare_weight > 1 else {}
    tables: dict[bool, dict[Pair, float]] = {}
    for state in oracle.drawable():
        goals = oracle.allowed_goals(state)
        kinds = Counter(asked for _, asked in goals)
        for goal in goals:
            chance = (met_weight if met(oracle, state, goal) else 1.0) / kinds[goal[1]]
            chance *= 1.0 if goal[1] else of_achieved.get(goal[0], 1.0)
            tables.setdefault(goal[1], {})[state, goal] = chance
    return {
        pair: chance / sum(table.values()) / len(tables)
        for table in tables.values()
        for pair, chance in table.items()
    }


def assert_drawn_by(expected: Mapping[object, float], seen: Counter[object]) -> None:
    assert seen.keys() <= expected.keys()
    n = sum(seen.values())
    chi2 = sum((seen[one] - n * p) ** 2 / (n * p) for one, p in expected.items())
    assert p_value(chi2, len(expected) - 1) > 1e-6


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
