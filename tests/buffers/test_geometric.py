"""How far ahead goals by a discount lie; that they stay in the episode: `test_properties.py`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from her_exp.buffers.goals import Geometric, geometric
from tests.buffers.side_by_side import Both


def chances(gamma: float, left: int) -> list[Fraction]:
    """The exact chance of each offset 1..left: shares of 1, gamma, gamma^2, ..."""
    weights = [Fraction(1)]
    while len(weights) < left:
        weights.append(weights[-1] * Fraction(gamma))
    return [weight / sum(weights) for weight in weights]


class Fixed:
    """A generator that draws what it is given."""

    def __init__(self, draws: Any):
        self.draws = np.asarray(draws)

    def random(self, shape: Any) -> Any:
        assert shape == self.draws.shape
        return self.draws


@settings(derandomize=True, database=None)
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


def test_the_name_is_the_strategy_with_its_default() -> None:
    def goals(strategy: Any) -> Any:
        both = Both(200, lanes=2, lengths=(50,), buffer_changes={"strategy": strategy}).begin()
        both.add(80).buffer.sample(256)
        return both.buffer.last

    named, made, other = goals("geometric"), goals(Geometric(0.98)), goals(Geometric(0.5))
    assert np.array_equal(named.goal_row, made.goal_row)
    assert not np.array_equal(named.goal_row, other.goal_row)
