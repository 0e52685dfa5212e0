"""When something is due, and where the time goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Every:
    """True once for each interval passed; steps may come in strides.

    Args:
        interval: in env steps; None: never.
    """

    def __init__(self, interval: int | None):
        self.interval, self.done = interval, 0

    def __call__(self, step: int) -> bool:
        """Return whether a multiple of the interval was passed since it last was."""
        if self.interval is None or step // self.interval <= self.done:
            return False
        self.done = step // self.interval
        return True

    def skip_to(self, step: int) -> None:
        """Take everything up to `step` as done."""
        self.done = step // self.interval if self.interval else 0


class Until:
    """True while `step` has not reached `end`."""

    def __init__(self, end: int):
        self.end = end

    def __call__(self, step: int) -> bool:
        """Return whether there is still something to do."""
        return step < self.end


class Stopwatch:
    """Seconds spent in each named part of the loop."""

    #: parts that are no training
    APART = ("evaluate", "checkpoint")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._before = 0.0  # seconds of the runs that this one continues
        self._start = time.perf_counter()

    def start(self) -> None:
        """Begin to count."""
        self._start = time.perf_counter()

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count the time of a `with` block to `part`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - start

    @property
    def wall(self) -> float:
        """Seconds since the start, and of the runs before it that it continues."""
        return self._before + time.perf_counter() - self._start

    @property
    def training(self) -> float:
        """Seconds of training: all but evaluation and checkpoints."""
        return self.wall - sum(self.seconds[part] for part in self.APART)

    def metrics(self, env_steps: int, updates: int) -> dict[str, float]:
        """Return seconds and rates, for the log."""
        training = max(self.training, 1e-9)
        return {f"time/{part}_s": spent for part, spent in self.seconds.items()} | {
            "time/train_s": training,
            "time/env_steps_per_s": env_steps / training,
            "time/updates_per_s": updates / training,
        }

    def describe(self) -> str:
        """Return one line that says where the time went."""
        wall = max(self.wall, 1e-9)
        parts = sorted(self.seconds.items(), key=lambda part: -part[1])
        shares = [f"{part} {spent / wall:.0%}" for part, spent in parts if spent >= 0.005 * wall]
        rest = f"rest {max(0.0, 1.0 - sum(self.seconds.values()) / wall):.0%}"
        return f"{wall:.1f} s: {', '.join([*shares, rest])}"

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far."""
        return {"seconds": dict(self.seconds), "wall": self.wall}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.seconds.update(state["seconds"])
        self._before = float(state["wall"])
