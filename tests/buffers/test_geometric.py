"""Goals of the steps ahead by a discount, cut where the episode ends; and batches of such goals alone."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her_exp.buffers.goals import Geometric, geometric
from her_exp.buffers.hindsight import HindsightReplayBuffer
from tests.buffers.audit import p_value
from tests.buffers.side_by_side import Both

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def chances(gamma: float, left: int) -> list[Fraction]:
    """The exact chance of each offset 1..left: shares of 1, gamma, gamma^2, ..."""
    weights = [Fraction(1)]
    while len(weights) < left:
        weights.append(weights[-1] * Fraction(gamma))
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("gamma", [0.01, 0.5, 0.9, 0.98, 1 - 1e-12])
@pytest.mark.parametrize("left", [1, 2, 3, 20, 100])
def test_offsets_come_as_often_as_they_should(gamma: float, left: int) -> None:
    n = 100_000
    drawn = geometric(np.random.default_rng(left), np.full(n, left), gamma)
    counts = Counter(drawn.tolist())
    assert set(counts) <= set(range(1, left + 1))
    expected = [n * float(share) for share in chances(gamma, left)]
    cells = [i for i in range(left) if expected[i] >= 5]
    seldom = [i for i in range(left) if expected[i] < 5]
    pairs = [(counts[i + 1], expected[i]) for i in cells]
    if sum(expected[i] for i in seldom) >= 5:
        pairs.append((sum(counts[i + 1] for i in seldom), sum(expected[i] for i in seldom)))
    chi2 = sum((count - mean) ** 2 / mean for count, mean in pairs)
    assert len(pairs) == 1 or p_value(chi2, len(pairs) - 1) > 1e-4


class Fixed:
    """A generator that draws what it is given."""

    def __init__(self, draws: Any):
        self.draws = np.asarray(draws)

    def random(self, shape: Any) -> Any:
        assert shape == self.draws.shape
        return self.draws


@SETTINGS
@given(
    gamma=st.one_of(st.floats(1e-6, 1 - 1e-9), st.sampled_from([5e-324, 1 - 2**-53])),
    left=st.integers(1, 24),
    draw=st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 1 - 2**-53])),
)
def test_a_draw_gives_the_offset_of_its_quantile(gamma: float, left: int, draw: float) -> None:
    """Inverse transform, offset by offset: the first whose sum of chances lies above the draw."""
    (offset,) = geometric(Fixed([draw]), np.array([left]), gamma).tolist()  # type: ignore[arg-type]
    assert 1 <= offset <= left
    below = sum(chances(gamma, left)[: offset - 1])
    near = Fraction(1, 10**9)  # floats
    assert below - near <= Fraction(draw) <= below + chances(gamma, left)[offset - 1] + near


@SETTINGS
@given(
    rows=st.integers(3, 30),
    lanes=st.integers(1, 3),
    steps=st.integers(1, 80),
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    gamma=st.floats(0.05, 0.999),
    k=st.sampled_from([1, 4, math.inf]),
    seed=st.integers(0, 2**32 - 2),
)
def test_goals_never_leave_the_episode(rows, lanes, steps, lengths, gamma, k, seed):
    """Every goal is one that `future` might give, whatever the ring has forgotten."""
    changes = {"strategy": Geometric(gamma)}
    both = Both(
        rows * lanes, lanes=lanes, k=k, seed=seed, lengths=lengths, buffer_changes=changes
    ).begin()
    both.add(steps)
    if both.oracle.drawable():
        both.check(40, 2)


def test_the_name_is_the_strategy_with_its_default() -> None:
    def goals(strategy: Any) -> Any:
        both = Both(200, lanes=2, lengths=(50,), buffer_changes={"strategy": strategy}).begin()
        both.add(80).buffer.sample(256)
        return both.buffer.last

    named, made, other = goals("geometric"), goals(Geometric()), goals(Geometric(0.5))
    assert np.array_equal(named.goal_row, made.goal_row)
    assert not np.array_equal(named.goal_row, other.goal_row)


@pytest.mark.parametrize("gamma", [0, 1, -0.5, 1.5, math.nan])
def test_a_discount_that_is_none_is_refused(gamma: float) -> None:
    with pytest.raises(ValueError, match=r"^Geometric: gamma=.* must be .*in \(0, 1\)$"):
        Geometric(gamma)


# --- k without end -------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_with_an_infinite_k_every_row_has_another_goal(batch_size: int) -> None:
    both = Both(12, lanes=2, k=math.inf, seed=4).begin().add(25)
    assert both.buffer.relabel_share == both.buffer.achieved_share == 1.0
    both.audit(batch_size=batch_size, n_batches=2, at_least=800 * batch_size)
    assert both.buffer.last.relabelled.all()
    assert both.buffer.metrics()["relabelled_share"] == 1.0


def test_the_largest_draw_makes_no_row_too_many() -> None:
    """256 and a number just below 1 are 257 to a float."""
    both = Both(12, k=math.inf).begin().add(8)
    generator = both.buffer._generator

    class Most:
        def __getattr__(self, name: str) -> Any:
            return getattr(generator, name)

        def random(self, *shape: Any) -> Any:
            return generator.random(*shape) if shape else 1 - 2**-53

    both.buffer._generator = Most()
    (batch,) = both.buffer.sample(256)
    assert len(batch.reward) == 256


def test_no_number_of_steps_is_less_than_none() -> None:
    for k in (-1, math.nan, -math.inf):
        with pytest.raises(ValueError, match=r"k=\S+ must be >= 0, or inf"):
            HindsightReplayBuffer(**Both().arguments | {"k": k}, generator=np.random.default_rng())
