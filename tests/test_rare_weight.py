"""`buffer.rare_weight`: achieved goals come as often as their like is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from oracle import STRATEGIES, Goal, Oracle, Rig, State, p_value
from test_met_weight import met

from her_exp.buffers.rare import BINS

Pair = tuple[State, Goal]
MOST = 8.0


def share_in_bin(numbers: Sequence[float], number: float, low: float, high: float) -> float:
    """How many of `numbers` lie in the same of the bins between `low` and `high`."""
    width = (high - low) / BINS

    def bin_of(x: float) -> int | None:
        place = (x - low) / width
        if not 0 <= place <= BINS * (1 + 1e-9):
            return None
        return min(int(place), BINS - 1)  # the last bin holds its end

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
            low, high = min(asked), max(asked)
            least = max((max(achieved) - min(achieved)) / 100, 1e-6)
            if high - low < least:
                middle = (low + high) / 2
                low, high = middle - least / 2, middle + least / 2
            own = float(np.ravel(state.achieved)[d])
            above, below = (share_in_bin(n, own, low, high) for n in (asked, achieved))
            weight *= min(max(above / below if below else 0.0, 1 / most), most)
        found[state] = min(max(weight, 1 / most), most)
    return found


def chances(oracle: Oracle, most: float, met_weight: float) -> dict[Pair, float]:
    """The chance of each relabelled pair; goals achieved and asked for keep their shares."""
    weight = weights(oracle, most)
    tables: dict[bool, dict[Pair, float]] = {}
    for state in oracle.drawable():
        goals = oracle.allowed_goals(state)
        kinds = Counter(asked for _, asked in goals)
        for goal in goals:
            plain = (1.0 if goal[1] else weight[goal[0]]) / kinds[goal[1]]
            plain *= met_weight if met(oracle, state, goal) else 1.0
            tables.setdefault(goal[1], {})[state, goal] = plain
    return {
        pair: chance / sum(table.values()) / len(tables)
        for table in tables.values()
        for pair, chance in table.items()
    }


def rig_of(most: float = MOST, met_weight: float = 1.0, **world: Any) -> Rig:
    changes = {"rare_weight": most, "met_weight": met_weight}
    return Rig(buffer_changes=changes, **world).begin()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("met_weight", "kind"), [(1.0, "float"), (0.2, "float"), (0.5, "int")])
def test_pairs_come_by_their_weight(strategy: str, met_weight: float, kind: str) -> None:
    rig = rig_of(MOST, met_weight, capacity=20, lanes=2, strategy=strategy, kind=kind).add(30)
    expected = chances(rig.oracle, MOST, met_weight)
    assert len(set(weights(rig.oracle, MOST).values())) > 1
    seen: Counter[Pair] = Counter()
    while sum(seen.values()) < 40 * len(expected):
        seen.update((s, goal) for s, goal in rig.check(64, 20) if goal is not None)
    assert seen.keys() <= expected.keys()
    n = sum(seen.values())
    chi2 = sum((seen[pair] - n * p) ** 2 / (n * p) for pair, p in expected.items())
    assert p_value(chi2, len(expected) - 1) > 1e-6


def test_rows_written_since_the_last_count_are_weighed_by_it() -> None:
    """Between two counts the bins stand still, also while the ring is written over."""
    rig = rig_of(capacity=60, lanes=3).add(100)
    rig.check(10)
    rare = rig.buffer._rare
    for _ in range(8):
        ratio, counted = rare._ratio.copy(), rare._counted
        rig.add(2)
        rig.check(10)
        if rare._counted == counted:
            assert np.array_equal(rare._ratio, ratio)
        kept = rare._weights.copy(), rare._top
        rare._weigh(rig.buffer._ring.filled)
        live = rare._newest(rig.buffer._ring.filled).reshape(-1)
        assert np.array_equal(kept[0].reshape(-1)[live], rare._weights.reshape(-1)[live])
        assert rare._top == kept[1] >= rare._weights.reshape(-1)[live].max()
        assert (rare.chances(live) <= 1).all()


@pytest.mark.parametrize("steps", [3, 40])
def test_a_restored_buffer_goes_on_with_the_same_draws(steps: int) -> None:
    rig = rig_of(capacity=30, lanes=2, met_weight=0.3, strategy="future_actual").add(steps)
    for _ in range(3):  # written to since it was counted
        rig.check(20)
        rig.add(1)
    again = rig.new_buffer(seed=99)
    again.load_state_dict(rig.buffer.state_dict())
    for _ in range(6):
        ours, theirs = rig.buffer.sample(16, 2), again.sample(16, 2)
        for one, other in zip(ours, theirs, strict=True):
            assert all(bool((a == b).all()) for a, b in zip(one, other, strict=True))
        step = rig.world.step()
        for buffer in (rig.buffer, again):
            rig.give(buffer, step)


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
