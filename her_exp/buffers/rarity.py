"""How much more often goals are asked for than achieved: the weights behind `rare_weight`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from her_exp.buffers.goals import Index
from her_exp.buffers.ring import StepRing
from her_exp.types import UserError

Floats = NDArray[np.float64]

BINS = 21  #: of each dimension of a goal, over what is asked for
_GROWTH = 32  # counted anew when one part in so many is new
_COUNTED = 100_000  # rows, about, that a count looks at
_AT_ONCE = 65_536  # rows that are weighed at once: temporaries stay small


class _Ahead(NamedTuple):
    """Running sums over all rows, lane by lane, the oldest first; made anew when rows have come."""

    rows: Index  #: (rows,) flat rows in that order
    left: Index  #: (rows,) steps to the last state of the episode so far
    goals: Floats  #: (rows,) running sum of the goals' weights
    steps: Floats  #: (rows,) running sum of the steps': the mean weight of the goals ahead of each

    @classmethod
    def of(cls, ring: StepRing, weights: NDArray[np.float32]) -> _Ahead:
        age = np.arange(ring.filled)[::-1]
        rows = _rows_at(ring, age)
        left = ring.left(rows, np.tile(age, ring.lanes)).astype(np.int64)
        goals = np.cumsum(weights.reshape(-1)[rows], dtype=np.float64)
        ahead = goals[np.arange(len(rows)) + left] - goals
        return cls(rows, left, goals, np.cumsum(ahead / np.maximum(left, 1)))

    def draw(self, generator: np.random.Generator, n: int) -> tuple[Index, Index]:
        at = np.searchsorted(self.steps, generator.random(n) * self.steps[-1], side="right")
        left = self.left[at]
        sums = self.goals[at], self.goals[at + left]
        aim = sums[0] + generator.random(n) * (sums[1] - sums[0])
        goal = np.searchsorted(self.goals, aim, side="right")
        return self.rows[at], self.rows[np.clip(goal, at + 1, at + left)]


def _rows_at(ring: StepRing, ages: Index) -> Index:
    """Flat rows, lane by lane, so many rows before the newest ones."""
    return ring.rows_back(ages[None, :], np.arange(ring.lanes)[:, None]).reshape(-1)


class RareGoals:
    """Weighs the achieved goal of each stored row by how rare it is among what is asked for.

    The weight is the product, over the dimensions of a goal, of the share of the goals asked for in its
    bin over that of the achieved goals; each factor and the product lie in [1 / most, most]. The lowest
    and the highest goal asked for stand in the middle of the first and the last bin, so that rounding
    puts none of their like outside, where the factor is 1 / most. A ratio of densities as in importance
    sampling, of each dimension by itself: a joint one would need more data than there is.

    Args:
        ring: the stored rows.
        most: the largest weight.
    """

    def __init__(self, ring: StepRing, most: float):
        self._ring, self._most = ring, most
        self._weights = np.ones((ring.lanes, ring.stride), np.float32)
        # (goal_dim,) where the first bin begins, how wide it is
        self._low = self._width = np.zeros(0)
        self._ratio = np.zeros((0, BINS + 2))  # (goal_dim, bins), the first and the last: outside
        self._counted = 0  # steps stored when the bins were counted last
        self._weighed = 0  # rows of a lane written when they were weighed last
        self._top = 1.0  # the largest weight of all
        self._ahead: _Ahead | None = None

    def update(self) -> None:
        """Weigh what has come since the last call; count anew when it has become much."""
        ring = self._ring
        if ring.written == self._weighed:
            return
        new = ring.stored - self._counted
        if not self._counted or new > min(self._counted, ring.steps) / _GROWTH:
            self._count()
            self._weigh(ring.filled)
        else:
            self._weigh(min(ring.written - self._weighed, ring.filled))
        self._ahead = None

    def draw_ahead(self, generator: np.random.Generator, n: int) -> tuple[Index, Index]:
        """Draw `n` pairs of a step and a later state of its episode, as `future` does, by weight.

        Returns:
            Flat rows (n,) of the steps, and of the states whose achieved goals they get. The chance of a
            pair is that of a uniform step and a uniform state after it, times the weight of its goal.
        """
        if self._ahead is None:
            self._ahead = _Ahead.of(self._ring, self._weights)
        return self._ahead.draw(generator, n)

    def chances(self, rows: Index) -> Floats:
        """Chances (n,) in (0, 1] with which the goals achieved in flat `rows` are to be kept."""
        return np.asarray(self._weights.reshape(-1)[rows] / self._top, np.float64)

    def _count(self) -> None:
        ring = self._ring
        every = max(1, ring.lanes * ring.filled // _COUNTED)
        ages = np.arange(0, ring.filled, every)
        # Episodes may be of one length: equal strides would meet the same few of their steps.
        ages = np.minimum(ages + np.arange(len(ages)) * 2654435761 // 128 % every, ring.filled - 1)
        rows = _rows_at(ring, ages)
        achieved, asked = self._goals(rows, "achieved_goal"), self._goals(rows, "desired_goal")
        low, high = asked.min(0), asked.max(0)
        # What is asked for may be one number but for rounding (a height): its bin holds its neighbours.
        narrow = np.maximum(np.ptp(achieved, axis=0) / 100, 1e-6 * np.maximum(1, np.abs(high)))
        self._width = np.maximum((high - low) / (BINS - 1), narrow)
        self._low = (low + high - self._width * BINS) / 2
        self._ratio = np.full((len(low), BINS + 2), 1 / self._most)
        for ratio, own, theirs in zip(
            self._ratio, self._bins(achieved).T, self._bins(asked).T, strict=True
        ):
            counts = [np.bincount(bins, minlength=BINS + 2)[1:-1] for bins in (theirs, own)]
            ratio[1:-1] = counts[0] / np.maximum(counts[1], 1 / self._most)
        self._ratio = np.clip(self._ratio, 1 / self._most, self._most)
        self._counted, self._top = ring.stored, 0.0

    def _weigh(self, newest: int) -> None:
        """Weigh the goals of the `newest` rows of each lane."""
        rows = _rows_at(self._ring, np.arange(newest))
        logs, bound = np.log(self._ratio), np.log(self._most)  # a product of many could overflow
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            bins = self._bins(self._goals(some, "achieved_goal"))
            weights = np.exp(np.clip(logs[np.arange(len(logs)), bins].sum(1), -bound, bound))
            self._weights.reshape(-1)[some] = weights
        self._top = max(self._top, float(self._weights.reshape(-1)[rows].max()))
        self._weighed = self._ring.written

    def _goals(self, rows: Index, name: str) -> Floats:
        goals = self._ring.gather(torch.from_numpy(rows), name).numpy().astype(np.float64)
        if not np.isfinite(goals).all():
            raise UserError(f"buffer.rare_weight: a stored {name} is no finite number")
        return goals

    def _bins(self, goals: Floats) -> Index:
        """Number of the bin (n, goal_dim) of each number: 1 .. BINS, 0 and BINS + 1 are outside."""
        places = np.clip((goals - self._low) / self._width, -1, BINS)
        return np.floor(places).astype(np.int64) + 1

    def state_dict(self) -> dict[str, Any]:
        """The bins; weights follow from them."""
        tables = {"low": self._low, "width": self._width, "ratio": self._ratio}
        return {name: torch.from_numpy(table.copy()) for name, table in tables.items()} | {
            "most": self._most,
            "counted": self._counted,
            "weighed": self._weighed,
            "top": self._top,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; the ring is restored already. What another `most` made counts nothing."""
        self._ahead = None
        if state["most"] != self._most:
            return
        self._low, self._width, self._ratio = (
            state[name].numpy().copy() for name in ("low", "width", "ratio")
        )
        self._counted = int(state["counted"])
        if self._counted:
            self._weigh(self._ring.filled)
        self._weighed, self._top = int(state["weighed"]), float(state["top"])
