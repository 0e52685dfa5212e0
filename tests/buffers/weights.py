"""How often each pair of a step and a goal must come where pairs or goals have weights, slow and obvious."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from her_exp.buffers.rarity import BINS
from tests.buffers.audit import p_value
from tests.buffers.oracle import Goal, Oracle, State

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
