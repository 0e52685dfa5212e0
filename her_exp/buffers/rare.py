"""How much more often goals are asked for than achieved: the weights behind `rare_weight`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from her_exp.buffers.goals import Index
from her_exp.buffers.storage import StepRing

Floats = NDArray[np.float64]

BINS = 20  #: of each dimension of a goal, over what is asked for
_GROWTH = 32  # counted anew when a run is longer by one part in so many
_COUNTED = 100_000  # rows, about, that a count looks at


class RareGoals:
    """Weighs the achieved goal of each stored row by how rare it is among what is asked for.

    The weight is the product, over the dimensions of a goal, of the share of the goals asked for in its
    bin over that of the achieved goals; each factor and the product lie in [1 / most, most]. Bins are
    equal parts of what is asked for; a goal outside of that has the factor 1 / most. A ratio of densities
    as in importance sampling, of each dimension by itself: a joint one would need more data than there is.

    Args:
        ring: the stored rows.
        most: the largest weight.
    """

    def __init__(self, ring: StepRing, most: float):
        self._ring, self._most = ring, most
        self._weights = np.ones((ring.lanes, ring.stride), np.float32)
        self._low = self._width = np.zeros(
            0
        )  # (goal_dim,) where the first bin begins, how wide it is
        self._ratio = np.zeros((0, BINS + 2))  # (goal_dim, bins), the first and the last: outside
        self._counted = 0  # steps stored when the bins were counted last
        self._weighed = 0  # rows of a lane written when they were weighed last
        self._top = 1.0  # the largest weight of all

    def update(self) -> None:
        """Weigh what has come since the last call; count anew when it has become much."""
        ring = self._ring
        if not self._counted or ring.stored > self._counted * (1 + 1 / _GROWTH):
            self._count()
            self._weigh(ring.filled)
        elif ring.written > self._weighed:
            self._weigh(min(ring.written - self._weighed, ring.filled))

    def chances(self, rows: Index) -> Floats:
        """Chances (n,) in (0, 1] with which the goals achieved in flat `rows` are to be kept."""
        return np.asarray(self._weights.reshape(-1)[rows] / self._top, np.float64)

    def _count(self) -> None:
        ring = self._ring
        every = max(1, ring.lanes * ring.filled // _COUNTED)
        rows = self._newest(ring.filled)[:, ::every].reshape(-1)
        achieved, asked = self._goals(rows, "achieved_goal"), self._goals(rows, "desired_goal")
        self._low, high = asked.min(0), asked.max(0)
        # What is asked for may be one number but for rounding (a height): its bin holds its neighbours.
        narrow = np.maximum((achieved.max(0) - achieved.min(0)) / 100, 1e-6)
        thin = np.maximum(narrow - (high - self._low), 0)
        self._low, high = self._low - thin / 2, high + thin / 2
        self._width = (high - self._low) / BINS
        self._ratio = np.full((len(self._low), BINS + 2), 1 / self._most)
        for ratio, own, theirs in zip(
            self._ratio, self._bins(achieved).T, self._bins(asked).T, strict=True
        ):
            counts = [np.bincount(bins, minlength=BINS + 2)[1:-1] for bins in (theirs, own)]
            ratio[1:-1] = counts[0] / np.maximum(counts[1], 1 / self._most)
        self._ratio = np.clip(self._ratio, 1 / self._most, self._most)
        self._counted, self._top = ring.stored, 0.0

    def _weigh(self, newest: int) -> None:
        """Weigh the goals of the `newest` rows of each lane."""
        rows = self._newest(newest).reshape(-1)
        bins = self._bins(self._goals(rows, "achieved_goal"))
        weights = np.prod(self._ratio[np.arange(bins.shape[1]), bins], axis=1)
        weights = np.clip(weights, 1 / self._most, self._most).astype(np.float32)
        self._weights.reshape(-1)[rows] = weights
        self._top = max(self._top, float(weights.max()))
        self._weighed = self._ring.written

    def _newest(self, count: int) -> Index:
        """Flat rows (lanes, count), the newest first."""
        lanes = np.arange(self._ring.lanes)[:, None]
        return self._ring.rows_back(np.arange(count)[None, :], lanes)

    def _goals(self, rows: Index, name: str) -> Floats:
        return self._ring.gather(torch.from_numpy(rows), name).numpy().astype(np.float64)

    def _bins(self, goals: Floats) -> Index:
        """Number of the bin (n, goal_dim) of each number: 1 .. BINS, 0 and BINS + 1 are outside."""
        scaled = (goals - self._low) / self._width
        bins = np.floor(np.clip(scaled, -1, BINS)).astype(np.int64) + 1
        return np.where((scaled >= BINS) & (scaled <= BINS * (1 + 1e-9)), BINS, bins)

    def state_dict(self) -> dict[str, Any]:
        """The bins; weights follow from them."""
        tables = {"low": self._low, "width": self._width, "ratio": self._ratio}
        return {name: torch.from_numpy(table.copy()) for name, table in tables.items()} | {
            "counted": self._counted,
            "weighed": self._weighed,
            "top": self._top,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; the ring is restored already."""
        self._low, self._width, self._ratio = (
            state[name].numpy().copy() for name in ("low", "width", "ratio")
        )
        self._counted = int(state["counted"])
        if self._counted:
            self._weigh(self._ring.filled)
        self._weighed, self._top = int(state["weighed"]), float(state["top"])
