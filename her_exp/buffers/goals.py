"""Which later state lends a step its goal: pure index functions that take a generator.

A step t of an episode with states 0..T is told by two counts: `since` = t, and `left` = T - t, the
steps to the last state that the episode has reached so far. A strategy answers with offsets from t:
the achieved goal of state t + offset becomes the goal. Offset 1 is the state right after the action.
Strategies: Andrychowicz et al. 2017, section 4.5 (arXiv:1707.01495); `future_actual` is half of the
goals of Pitis et al. 2020 (arXiv:2007.02832); `geometric` is that of contrastive RL.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from her_exp.buffers.ring import StepRing
from her_exp.limits import Inner, check_arguments
from her_exp.types import UserError

Index = NDArray[np.int64]


def draw_below(generator: np.random.Generator, count: Index) -> Index:
    """Draw integers uniformly from [0, count) for each count >= 1.

    The upper half of count times a 32-bit draw: no number's chance is off by more than a share of
    count / 2**32, and no float is rounded (rounding a uniform float gives both ends half their
    weight). Counts stay below 2**31.
    """
    draw = generator.integers(2**32, size=count.shape)
    return np.asarray((draw * count) >> 32)


def future(generator: np.random.Generator, left: Index) -> Index:
    """Any state after the step, uniformly: offsets in 1..left."""
    return 1 + draw_below(generator, left)


def final(left: Index) -> Index:
    """The last state: offset left."""
    return left


def episode(generator: np.random.Generator, since: Index, left: Index, alive_back: Index) -> Index:
    """Any of the states 1..T that are still stored (`alive_back` rows before the step are)."""
    lowest = np.maximum(1 - since, -alive_back)
    return np.asarray(lowest + draw_below(generator, left - lowest + 1))


def geometric(generator: np.random.Generator, left: Index, gamma: float) -> Index:
    """Sooner states more often: offset i in 1..left by its share of gamma^(i - 1).

    That is Geometric(1 - gamma), cut where the episode ends, by its inverse: the chance of at most i is
    (1 - gamma^i) / (1 - gamma^left), and the offset is the first whose chance lies above a uniform draw.
    """
    rate = math.log(gamma)
    reach = -np.expm1(rate * left)  # 1 - gamma^left, also where gamma is nearly 1
    ahead = np.log1p(-reach * generator.random(left.shape)) / rate  # in [0, left)
    return np.asarray(np.minimum(1 + ahead.astype(np.int64), left))  # rounding may reach the end


class DrawnSteps:
    """Steps drawn from the ring, as a strategy sees them.

    Attributes:
        left: (n,) int64, steps to the last state of the episode so far, at least 1; each look gives a copy.
        since: (n,) int64, steps since the first state of the episode.
        age: (n,) int64, rows between the step and the newest row.
    """

    def __init__(self, ring: StepRing, rows: Index, left: Index):
        self._ring, self._rows, self._left = ring, rows, left

    @property
    def left(self) -> Index:
        """Steps to the last state of the episode so far; a copy, for a strategy may work in it."""
        return self._left.copy()

    @property
    def age(self) -> Index:
        """Rows between the step and the newest row of its lane."""
        return self._ring.age(self._rows)

    @property
    def since(self) -> Index:
        """Steps since the first state of the episode."""
        return self._ring.since(self._rows).astype(np.int64)

    @property
    def alive_back(self) -> Index:
        """Rows before the step that are still stored."""
        return self._ring.filled - 1 - self.age

    def at(self, offset: Index) -> Index:
        """Rows of the states `offset` steps from the drawn ones.

        Raises:
            UserError: an offset leads out of its episode, to its first state, which no action led to,
                or to a row that is no longer stored.
        """
        wrong = offset > self._left
        if np.min(offset, initial=1) < 1:  # behind the step; seldom, and costs more to see
            wrong |= offset < np.maximum(1 - self.since, -self.alive_back)
        if np.any(wrong):
            at = np.unravel_index(np.argmax(wrong), wrong.shape)
            raise UserError(
                f"buffer.strategy: offset {np.broadcast_to(offset, wrong.shape)[at]} from step "
                f"{self.since[at[-1]]} of an episode that has {self._left[at[-1]]} left; at most `left` "
                "leads ahead, 1 - `since` (and -`alive_back`) back"
            )
        return self._ring.rows_ahead(self._rows, offset)

    def anywhere(self, generator: np.random.Generator) -> Index:
        """Rows of states of the whole buffer, uniformly, one for each step."""
        r = generator.integers(self._ring.lanes * self._ring.filled, size=self._left.shape)
        lane, age = np.divmod(r, self._ring.filled)
        return self._ring.rows_back(age, lane)


class MixedGoals(NamedTuple):
    """Rows that lend their goals: the achieved one, or the desired one where `asked` is true."""

    rows: Index  #: (n,) int64
    asked: NDArray[np.bool_]  #: (n,)


class LastDraw(NamedTuple):
    """Where the last call of `sample` drew from; arrays (n_batches, batch_size)."""

    lane: Index
    row: Index
    goal_lane: Index  #: -1 where the step kept its own goal
    goal_row: Index  #: -1 where the step kept its own goal
    relabelled: NDArray[np.bool_]
    asked: NDArray[np.bool_]  #: the goal is the one desired in `goal_row`, not the one achieved


def as_mixed(chosen: Index | MixedGoals) -> MixedGoals:
    """Return what a strategy chose; rows alone lend the goals achieved there."""
    if isinstance(chosen, MixedGoals):  # copied: a strategy may keep its arrays and work in them
        return MixedGoals(np.array(chosen.rows, np.int64), np.array(chosen.asked, bool))
    rows = np.array(chosen, np.int64)
    return MixedGoals(rows, np.zeros(len(rows), bool))


#: Chooses the rows whose achieved goal each drawn step gets. A user's own is any such callable; one
#: that gives desired goals as well says in `achieved_share` how large the part of the others is.
Strategy = Callable[[DrawnSteps, np.random.Generator], "Index | MixedGoals"]


class FutureActual:
    """Half of the goals by `future`, half of them goals that were asked for anywhere in the buffer.

    What is achieved by chance may be unlike what is asked for (never in the air, say); this keeps both
    in sight.
    """

    achieved_share = 0.5

    def __call__(self, steps: DrawnSteps, generator: np.random.Generator) -> MixedGoals:
        """Return the rows, and which of them lend their desired goal."""
        asked = generator.random(len(steps.left)) < 1.0 - self.achieved_share
        rows = steps.at(future(generator, steps.left))
        return MixedGoals(np.where(asked, steps.anywhere(generator), rows), asked)


class Geometric:
    """Goals of the steps ahead, each `gamma` times as likely as the one before it.

    So drawn, a state is a goal of a step as often as a policy comes to it, by its discounted measure
    (Eysenbach et al. 2022, arXiv:2206.07568).

    Args:
        gamma: the discount; goals lie some 1 / (1 - gamma) steps ahead, where the episode lasts.
    """

    def __init__(self, gamma: Inner = 0.98):
        check_arguments(Geometric, locals())
        self.gamma = gamma

    def __call__(self, steps: DrawnSteps, generator: np.random.Generator) -> Index:
        """Return the rows."""
        return steps.at(geometric(generator, steps.left, self.gamma))


#: The one table outside `_target_`: `buffer.strategy` by name.
STRATEGIES: dict[str, Strategy] = {
    "future": lambda steps, rng: steps.at(future(rng, steps.left)),
    "final": lambda steps, rng: steps.at(final(steps.left)),
    "episode": lambda steps, rng: steps.at(episode(rng, steps.since, steps.left, steps.alive_back)),
    "random": lambda steps, rng: steps.anywhere(rng),
    "future_actual": FutureActual(),
    "geometric": Geometric(),
}
#: Those of them that give no goal but one achieved after the step.
AHEAD = ("geometric", "future", "final")
