"""The doubles that the reproductions measure have exactly their fault, and no other: beside the oracle."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.buffers.oracle import State
from tests.buffers.side_by_side import Both

Rows = dict[str, np.ndarray]


@pytest.fixture
def faulty(load: Any) -> ModuleType:
    module: ModuleType = load("faulty")
    return module


def filled(kind: Any) -> Both:
    both = Both(capacity=3000, lanes=3)
    both.buffer = kind(**both.arguments, generator=np.random.default_rng(7))
    return both.begin().add(300)


def judged(both: Both) -> tuple[Rows, Rows, list[tuple[State, State | None]]]:
    """A large batch, what the oracle says of the same draws, and those: a step and who lent it a goal."""
    [batch] = both.buffer.sample(2000)
    last, (states, *_) = both.buffer.last, both.oracle.tables()
    places = (part[0].tolist() for part in (last.lane, last.row, last.goal_lane, last.goal_row))
    draws = [
        (states[lane, row], states[goal_lane, goal_row] if goal_row >= 0 else None)
        for lane, row, goal_lane, goal_row in zip(*places, strict=True)
    ]
    rows = [both.oracle.expected(state, goal and (goal, False)) for state, goal in draws]
    got = {name: part.numpy().copy() for name, part in batch.parts.items()}
    return got, {name: np.array([row[name] for row in rows]) for name in got}, draws


def unlike(got: Rows, right: Rows) -> list[str]:
    return [name for name in got if not np.array_equal(got[name], right[name])]


def test_stale_terminated_is_that_of_the_own_goal(faulty: ModuleType) -> None:
    got, right, draws = judged(filled(faulty.StaleTerminated))
    assert unlike(got, right) == ["terminated"]
    stored = [state.taken.terminated for state, _ in draws]
    np.testing.assert_array_equal(got["terminated"], stored)
    assert (got["terminated"] < right["terminated"]).sum() > 20


def test_goals_from_the_state_before_are_future_one_state_early(faulty: ModuleType) -> None:
    got, right, draws = judged(filled(faulty.GoalsFromStateBefore))
    assert unlike(got, right) == []  # of one goal are reward and end, those of the state after
    ahead = set()
    for state, goal in draws:
        if goal is not None:
            states = state.episode.states
            ahead.add(states.index(goal) - states.index(state))
            assert goal is not states[-1]
    assert min(ahead) == 0
    assert {1, 2, 3} <= ahead


def test_time_limit_terminal_differs_at_the_time_limit(faulty: ModuleType) -> None:
    got, right, draws = judged(filled(faulty.TimeLimitTerminal))
    assert unlike(got, right) == ["terminated"]
    cut = [state.taken.truncated and not state.taken.terminated for state, _ in draws]
    np.testing.assert_array_equal(got["terminated"], np.maximum(right["terminated"], cut))


def test_stored_goals_are_overwritten(faulty: ModuleType) -> None:
    both = filled(faulty.StoredGoalsOverwritten)
    got, right, draws = judged(both)
    assert unlike(got, right) == []  # the first draw shows nothing yet
    # In the order of the batch: of a row drawn twice the last goal stays.
    written = {state.key: goal.achieved for state, goal in draws if goal is not None}
    got, right, draws = judged(both)
    assert unlike(got, right) == ["goal"]
    for i, (state, goal) in enumerate(draws):  # with "their own" goal, and the old one's reward
        if goal is None:
            right["goal"][i] = written.get(state.key, right["goal"][i])
    assert unlike(got, right) == []
