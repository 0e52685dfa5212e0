"""Draws of a buffer beside those that the oracle allows: each one, and how often it comes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from her_exp.types import Batch
from tests.buffers.oracle import Oracle, State

#: What a buffer tells of its last draw.
TOLD = ("lane", "row", "goal_lane", "goal_row", "relabelled", "asked")


def compare(buffer: Any, oracle: Oracle, batches: Sequence[Batch]) -> list[tuple[State, Any]]:
    """Raise AssertionError unless `batches`, the buffer's last draw, are what the oracle allows.

    Returns the (state, goal state or None) of every element, batch after batch.
    """
    last = {name: getattr(buffer.last, name) for name in TOLD}
    shape = (len(batches), len(batches[0].reward))
    assert {array.shape for array in last.values()} == {shape}

    states, drawable, allowed = oracle.tables()
    draws: list[tuple[State, Any]] = []
    for lane, row, goal_lane, goal_row, relabelled, asked in zip(
        *(array.ravel().tolist() for array in last.values()), strict=True
    ):
        key, goal = (lane, row), None
        assert key in drawable, f"step {key} is not drawable"
        assert relabelled == (goal_row >= 0), f"relabelled, yet no goal (or so): {key}"
        if relabelled:
            assert ((goal_lane, goal_row), asked) in allowed[key], f"goal of step {key}"
            goal = states[goal_lane, goal_row], asked
        draws.append((states[key], goal))

    expected = [oracle.expected(*draw) for draw in draws]
    for name in batches[0].parts:
        wanted = np.array([row[name] for row in expected])
        seen = torch.stack([getattr(batch, name) for batch in batches]).cpu().numpy()
        wanted = wanted.reshape(*shape, *wanted.shape[1:])
        np.testing.assert_array_equal(seen, wanted, err_msg=name, strict=True)  # and dtype
    exact = oracle.share * shape[1]
    for count in last["relabelled"].sum(axis=1).tolist():
        assert math.floor(exact) <= count <= math.ceil(exact), "share of relabelled steps"
    return draws


def p_value(chi2: float, freedom: int) -> float:
    """Return how probable a chi-square above this one is."""
    half = torch.tensor([freedom / 2, chi2 / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def assert_uniform(what: str, tables: Sequence[Mapping[Any, int]]) -> None:
    """Raise AssertionError unless each table of counts is complete and looks uniform."""
    chi2, freedom = 0.0, 0
    for counts in tables:
        missing = [key for key, count in counts.items() if count == 0]
        assert not missing, f"coverage of {what}: never drawn: {missing[:5]} of {len(counts)}"
        mean = sum(counts.values()) / len(counts)
        chi2 += sum((count - mean) ** 2 for count in counts.values()) / mean
        freedom += len(counts) - 1
    if freedom:
        p = p_value(chi2, freedom)
        assert p > 1e-4, f"uniform {what}: chi-square {chi2:.1f} at {freedom} degrees, p={p:.1e}"
        # Too even are draws that are not independent; of few cells, equal counts are a common chance.
        assert freedom < 5 or p < 1 - 1e-6, f"too even {what}: p=1-{1 - p:.1e}"


def audit(
    buffer: Any, oracle: Oracle, *, per_cell: int = 20, batch_size: int = 61, n_batches: int = 7,
    at_least: int = 1500,
) -> None:  # fmt: skip
    """Draw from a buffer at rest until every step and goal must have come up; compare, and count.

    Raises AssertionError where a draw is wrong, a step or goal never comes, or a histogram (of
    steps, of steps relabelled, of goals given the step) or a share is off.
    """
    goals = {state: oracle.allowed_goals(state) for state in oracle.drawable()}
    most = max(len(allowed) for allowed in goals.values())
    wanted = max(at_least, int(len(goals) * most * per_cell / max(oracle.share, Fraction(1, 2))))
    calls = -(-wanted // (batch_size * n_batches))
    steps, relabelled = (Counter(dict.fromkeys((s.key for s in goals), 0)) for _ in range(2))
    chosen = {state: Counter(dict.fromkeys(allowed, 0)) for state, allowed in goals.items()}
    for _ in range(calls):
        for state, goal in compare(buffer, oracle, buffer.sample(batch_size, n_batches)):
            steps[state.key] += 1
            if goal is not None:
                relabelled[state.key] += 1
                chosen[state][goal] += 1
    assert_uniform("steps", [steps])
    asked = 0
    if oracle.k:
        assert_uniform("relabelled steps", [relabelled])
        for kind in (False, True):  # uniform among the achieved ones, and among the desired ones
            tables = [
                {goal.key: n for (goal, asked), n in counts.items() if asked == kind}
                for counts in chosen.values()
            ]
            assert_uniform("goals", [table for table in tables if table])
            asked = sum(sum(table.values()) for table in tables)
    # Half of the goals that `future_actual` gives were asked for, none of the others'.
    n = relabelled.total()
    half = 0.5 if oracle.strategy == "future_actual" else 0.0
    assert abs(asked - half * n) <= 5 * half * math.sqrt(n), f"share of desired goals: {asked}"
    # Batches of one call may be rounded together, so the calls are what is counted.
    rest, mean = float(oracle.share * batch_size % 1), float(oracle.share * batch_size)
    allowed = 5 * n_batches * math.sqrt(calls * rest * (1 - rest)) + 1e-6
    off = abs(n - mean * calls * n_batches)
    assert off <= allowed, f"mean share: {n} relabelled, by {off:.1f} too many or few"
