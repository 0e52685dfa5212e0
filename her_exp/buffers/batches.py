"""Room where drawn steps are read, relabelled and cut into batches; kept from call to call."""

from __future__ import annotations

import torch

from her_exp.buffers.recorder import REWARD, TERMINATED
from her_exp.buffers.tensors import RingTensors
from her_exp.types import Batch


class Workspace:
    """Steps read from a ring, in the order in which they were drawn.

    It grows to the largest draw and is kept: fresh pages cost more than copies.

    Args:
        tensors: where steps are read from.
        discrete: actions are handed over as int64 (b,), else as float32 (b, action_dim).
        device: where batches are handed over.
        n_step: steps whose rewards and ends are handed over; of more than one they are fields of their own.

    Attributes:
        fields: observation, goal, action, next_observation, (n, width), and signals (n, 4); float32,
            discrete actions int64; of several steps reward and terminated (n, n_step). Only the rows of the
            last `read` mean anything.
    """

    def __init__(self, tensors: RingTensors, discrete: bool, device: torch.device, n_step: int = 1):
        self._tensors, self._discrete, self._device = tensors, discrete, device
        self._n_step = n_step
        self._sent = device.type != tensors.device.type  # batches are copies
        self._windows = tensors.make_windows(0)
        self._cast: list[tuple[torch.Tensor, torch.Tensor]] = []  # (read, field) of other dtypes
        self._batches: dict[tuple[int, int], list[Batch]] = {}
        self.fields: dict[str, torch.Tensor] = {}

    def read(self, rows: torch.Tensor) -> None:
        """Read the transitions at flat `rows` (n,), each with the state after it."""
        n = len(rows)
        if not self.fields or n > len(self.fields["signals"]):
            self._grow(n)
        self._tensors.read_windows(rows, self._windows)
        for read, field in self._cast:
            field[:n] = read[:n]

    def _grow(self, n: int) -> None:
        self._windows = self._tensors.make_windows(n)
        now, after = self._windows.now, self._windows.after
        self._cast, self._batches = [], {}
        for name, read in (
            ("observation", now["observation"]),
            ("goal", now["desired_goal"]),
            ("action", now["action"]),
            ("signals", now["signals"]),
            ("next_observation", after["observation"]),
        ):
            dtype = torch.int64 if name == "action" and self._discrete else torch.float32
            self.fields[name] = read  # batches are views of what was read, but for other dtypes
            if read.dtype != dtype:
                self.fields[name] = torch.empty(read.shape, dtype=dtype, device=read.device)
                self._cast.append((read, self.fields[name]))
        if self._n_step > 1:
            for name in ("reward", "terminated"):
                self.fields[name] = torch.empty(n, self._n_step, device=self._tensors.device)

    @property
    def achieved(self) -> torch.Tensor:
        """Goals (n, goal_dim) achieved in the states that the steps led to, in their stored dtype."""
        return self._windows.after["achieved_goal"]

    def numbers(self, n: int, best: float | None) -> dict[str, float]:
        """Return means over the first `n` rows; `best` is the highest reward, None: of them."""
        room = {name: values[:n] for name, values in self.fields.items()}
        reward, terminated = room["signals"][:, REWARD], room["signals"][:, TERMINATED]
        best = float(reward.max()) if best is None else best
        gap = torch.linalg.vector_norm(self.achieved[:n].float() - room["goal"], dim=-1)
        return {
            "rewarded_share": float((reward >= best - 1e-6).float().mean()),
            "terminated_share": float(terminated.mean()),
            "goal_distance": float(gap.mean()),
        }

    def batches(self, shape: tuple[int, int]) -> list[Batch]:
        """Return what was read as shape = (n_batches, batch_size), on the device."""
        if self._sent:
            return self._split(shape)
        if shape not in self._batches:  # views of the workspace: the same at every call
            self._batches[shape] = self._split(shape)
        return list(self._batches[shape])

    def _split(self, shape: tuple[int, int]) -> list[Batch]:
        n_batches, batch_size = shape
        n = n_batches * batch_size
        room = {name: values[:n] for name, values in self.fields.items()}
        if self._sent:
            room = {name: values.to(self._device) for name, values in room.items()}
        if self._n_step == 1:
            room["reward"] = room["signals"][:, REWARD]
            room["terminated"] = room["signals"][:, TERMINATED]
        if self._discrete:
            room["action"] = room["action"][:, 0]
        parts = {n: torch.split(room[n], batch_size) for n in Batch._fields if n in room}
        return [Batch(**{n: part[i] for n, part in parts.items()}) for i in range(n_batches)]


def first_of_each(values: torch.Tensor, shape: tuple[int, int], count: int) -> torch.Tensor:
    """View (n_batches, count, ...) of the first `count` steps of each batch of values (n, ...)."""
    n = shape[0] * shape[1]
    return values[:n].view(*shape, *values.shape[1:])[:, :count]
