"""A ring of steps by lanes: states are stored once, neighbours in time are neighbours in memory.

One row array a dtype, of shape (lanes, rows + 1, width). Row r holds state s_r and what was done
there; the state after it is row r + 1, so a transition is read as one window that reaches from one
row into the next (`tensors.RingTensors`). The extra row at the end repeats row 0, so that the window across
the seam is one as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from her_exp.types import Array

#: `left` of a step whose episode still runs; the true number is then its distance to the newest row.
OPEN = np.iinfo(np.int32).max


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Floats are kept as float32, integers, booleans and bytes as they are."""
    return np.dtype(np.float32) if np.issubdtype(dtype, np.floating) else np.dtype(dtype)


class Field(NamedTuple):
    """Where a field stands: in which row array, and which columns of it."""

    array: str
    start: int
    stop: int


class StepRing:
    """Rings of `rows` rows in `lanes` lanes that advance in lock step.

    Args:
        fields: name to (width, dtype) of each field, in the order in which they stand in a row.
        lanes: parallel environments.
        rows: rows of each lane, at least 2.
    """

    def __init__(self, fields: Mapping[str, tuple[int, np.dtype[Any]]], lanes: int, rows: int):
        self.lanes, self.rows, self.stride = lanes, rows, rows + 1
        self.fields: dict[str, Field] = {}
        widths: dict[str, int] = {}
        for name, (width, dtype) in fields.items():
            key = stored_dtype(dtype).name
            start = widths.get(key, 0)
            self.fields[name] = Field(key, start, start + width)
            widths[key] = start + width
        self.arrays = {key: np.zeros((lanes, self.stride, w), key) for key, w in widths.items()}
        #: The same memory, as tensors (lanes * (rows + 1), width).
        self.flat = {
            key: torch.from_numpy(a.reshape(-1, a.shape[-1])) for key, a in self.arrays.items()
        }
        # Steps from a row to the last state of its episode, and from the first state to it.
        self._left = np.zeros((lanes, self.stride), np.int32)
        self._since = np.zeros((lanes, self.stride), np.int32)
        self._length = np.zeros(lanes, np.int32)  # steps of each lane's open episode so far
        self.newest = -1  # row written last
        self.filled = 0  # rows that hold something
        self.steps = 0  # steps that can be drawn, over all lanes
        self.stored = 0  # steps ever stored, those overwritten since included
        self.written = 0  # rows ever written in a lane

    @staticmethod
    def nbytes(fields: Mapping[str, tuple[int, np.dtype[Any]]], lanes: int, rows: int) -> int:
        """Bytes that a ring of this size takes."""
        row = sum(width * stored_dtype(dtype).itemsize for width, dtype in fields.values())
        return lanes * (rows + 1) * (row + 8)

    def write(self, row: int, values: Mapping[str, Array]) -> None:
        """Write fields, each (lanes, width), into `row` of all lanes."""
        for name, value in values.items():
            key, start, stop = self.fields[name]
            array = self.arrays[key]
            array[:, row, start:stop] = value
            if row == 0:
                array[:, self.rows, start:stop] = array[:, 0, start:stop]

    def advance(self, values: Mapping[str, Array], starts: Array) -> None:
        """Open the next row with its state; `starts` (lanes,) bool: an episode begins in this row."""
        self.newest = (self.newest + 1) % self.rows
        if self.filled == self.rows:  # the oldest row is overwritten, its step is gone
            self.steps -= int(np.count_nonzero(self._left[:, self.newest]))
        new = self.lanes - int(np.count_nonzero(starts))
        self.steps += new
        self.stored += new
        self.written += 1
        self.filled = min(self.filled + 1, self.rows)
        self._length = np.where(starts, 0, self._length + 1)
        self._since[:, self.newest] = self._length
        self._left[:, self.newest] = OPEN
        self.write(self.newest, values)

    def close(self, lane: int) -> None:
        """End the open episode of `lane` at the newest row, its last state; twice is harmless."""
        if self._left[lane, self.newest] != OPEN:
            return
        count = min(int(self._length[lane]) + 1, self.filled)
        left = np.arange(count, dtype=np.int32)
        self._left[lane, (self.newest - left) % self.rows] = left

    def rows_back(self, age: Array, lane: Array | int) -> Array:
        """Flat index of the rows `age` rows before the newest one, in `lane`."""
        row = self.newest - age
        row += self.rows * (row < 0)
        return np.asarray(row + lane * self.stride)

    def rows_ahead(self, flat: Array, offset: Array) -> Array:
        """Flat index of the rows `offset` (negative: back) from `flat` in the same lane."""
        lane_start = flat // self.stride * self.stride
        row = flat - lane_start + offset
        row -= self.rows * (row >= self.rows)
        row += self.rows * (row < 0)
        return np.asarray(row + lane_start)

    def left(self, flat: Array, age: Array) -> Array:
        """Steps from each row to the last state of its episode so far; 0: no step starts there."""
        # An open episode reaches to the newest row, `age` rows on; a closed one never further.
        return np.minimum(self._left.reshape(-1).take(flat), age)

    def age(self, flat: Array) -> Array:
        """Rows between each row and the newest one."""
        return np.asarray((self.newest - flat % self.stride) % self.rows)

    def since(self, flat: Array) -> Array:
        """Index of each row's state within its episode (0: the state that reset gave)."""
        return self._since.reshape(-1).take(flat)

    def gather(self, flat: torch.Tensor, name: str) -> torch.Tensor:
        """Return one field of the rows `flat` (n,), as (n, width) of its stored dtype."""
        key, start, stop = self.fields[name]
        return torch.index_select(self.flat[key][:, start:stop], 0, flat)

    def state_dict(self) -> dict[str, Any]:
        """Everything filled, as tensors and numbers; of a full ring they share its memory."""
        return {
            "arrays": {k: self.part(a) for k, a in self.arrays.items()},
            "left": self.part(self._left),
            "since": self.part(self._since),
            "length": torch.from_numpy(self._length),
            "size": [self.lanes, self.rows],
            "newest": self.newest,
            "filled": self.filled,
            "steps": self.steps,
            "stored": self.stored,
            "written": self.written,
        }

    def part(self, array: Array) -> torch.Tensor:
        """Return the filled rows of an array (lanes, rows + 1, ...): a young ring is saved small."""
        stop = self.stride if self.filled == self.rows else self.filled
        return torch.from_numpy(np.ascontiguousarray(array[:, :stop]))

    def fill(self, array: Array, part: torch.Tensor) -> None:
        """Put what `part` returned back into an array."""
        array[:, : part.shape[1]] = part.numpy()
        array[:, self.rows] = array[:, 0]  # the row that repeats row 0

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; ValueError unless fields, lanes and rows are the same."""
        if list(state["size"]) != [self.lanes, self.rows]:
            raise ValueError(f"saved ring is {state['size']}, this one {[self.lanes, self.rows]}")
        for key, array in self.arrays.items():
            self.fill(array, state["arrays"][key])
        for table, name in ((self._left, "left"), (self._since, "since")):
            table[:, : state[name].shape[1]] = state[name].numpy()
        self._length = state["length"].numpy().copy()
        self.newest, self.filled = int(state["newest"]), int(state["filled"])
        self.steps = int(state["steps"])
        self.stored = int(state.get("stored", self.steps))  # older checkpoints do not say
        self.written = int(state.get("written", self.filled))
