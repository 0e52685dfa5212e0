"""The rows of a ring as tensors: of the CPU they are the ring itself, elsewhere a copy that follows it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from her_exp.buffers.ring import StepRing

_MANY = 1024  # new rows of a lane from which on all are copied


class Windows(NamedTuple):
    """Transitions read from the ring.

    Attributes:
        arrays: of each row array, what was read: (n, ...).
        now: fields of the step's own row, views (n, width).
        after: fields of the row after it, the state that the step led to, views (n, width).
    """

    arrays: dict[str, torch.Tensor]
    now: dict[str, torch.Tensor]
    after: dict[str, torch.Tensor]


class RingTensors:
    """Reads rows of a ring where they are wanted.

    Args:
        ring: its rows.
        now: fields that are read of a step's own row; best the last ones.
        after: fields that are read of the row after it; best the first ones.
        device: where they are wanted. A copy of the ring's rows is kept there, unless it is the CPU.
    """

    def __init__(
        self, ring: StepRing, now: Collection[str], after: Collection[str], device: torch.device
    ):
        self._ring, self._now, self._after, self.device = ring, now, after, device
        self._copied = device != torch.device("cpu")  # "cpu:0" is another: for tests
        self._flat = ring.flat
        if self._copied:
            self._flat = {k: torch.zeros_like(f, device=device) for k, f in ring.flat.items()}
        self._written = 0  # rows of a lane that the ring had when it was followed last
        # From the first column that is read of a row to the last one of the next row: overlapping
        # windows, no copy.
        self._begin: dict[str, int] = {}
        self._windows: dict[str, torch.Tensor] = {}
        for key, flat in self._flat.items():
            width = flat.shape[1]
            own = {name: field for name, field in ring.fields.items() if field.array == key}
            begin = min(own[name].start for name in own if name in now)
            end = width + max((own[name].stop for name in own if name in after), default=0)
            self._begin[key] = begin
            size = (len(flat) - 1, end - begin)
            self._windows[key] = torch.as_strided(flat, size, (width, 1), begin)

    def follow(self) -> None:
        """Copy what the ring has got since the last call."""
        ring = self._ring
        if not self._copied or ring.written == self._written:
            return
        # The newest row of last time has got its action since.
        count = min(ring.written - self._written + 1, ring.filled)
        rows = (ring.newest - np.arange(count)) % ring.rows
        if not rows.all():
            rows = np.append(rows, ring.rows)  # the row that repeats row 0
        flat = (np.arange(ring.lanes)[:, None] * ring.stride + rows).reshape(-1)
        for key, copy in self._flat.items():
            if count > _MANY:
                copy.copy_(ring.flat[key])
            else:
                copy.index_copy_(0, self.index(flat), self._send(ring.flat[key][flat]))
        self._written = ring.written

    def forget(self) -> None:
        """Let the next `follow` copy all rows: others were loaded."""
        self._written = 0

    def index(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return flat rows (n,) as an index on the device."""
        return self._send(torch.from_numpy(rows))

    def _send(self, values: torch.Tensor) -> torch.Tensor:
        # From pinned memory, which the allocator keeps until it was read: else the host would wait for all
        # that the device has to do.
        if self.device.type != "cuda":
            return values
        return values.pin_memory().to(self.device, non_blocking=True)

    def gather(self, flat: torch.Tensor, name: str) -> torch.Tensor:
        """Return one field of the rows `flat` (n,), as (n, width) of its stored dtype."""
        key, start, stop = self._ring.fields[name]
        return torch.index_select(self._flat[key][:, start:stop], 0, flat)

    def make_windows(self, n: int) -> Windows:
        """Return room for `n` windows."""
        room = {
            k: torch.empty(n, w.shape[1], dtype=w.dtype, device=self.device)
            for k, w in self._windows.items()
        }

        def column(name: str, shift: int) -> torch.Tensor:
            key, start, stop = self._ring.fields[name]
            shift = shift * self._flat[key].shape[1] - self._begin[key]
            return room[key][:, start + shift : stop + shift]

        now = {name: column(name, 0) for name in self._now}
        return Windows(room, now, {name: column(name, 1) for name in self._after})

    def read_windows(self, flat: torch.Tensor, room: Windows) -> None:
        """Read each row of `flat` (n,) and the row after it into the first n of `room`."""
        for key, windows in self._windows.items():
            torch.index_select(windows, 0, flat, out=room.arrays[key][: len(flat)])
