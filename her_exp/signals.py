"""Signals that ask a run to stop: the step is finished, a checkpoint written, then it ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stopped(Exception):
    """A signal ended the run; its last checkpoint is whole. `code` is the shell's exit code for it."""

    def __init__(self, received: int):
        super().__init__(f"stopped by {signal.Signals(received).name}")
        self.code = 128 + received


class SignalWatch:
    """Notes SIGTERM, SIGINT and SIGUSR1 in `received` while its `with` block runs.

    A second SIGINT raises KeyboardInterrupt at once. Outside of the main thread nothing is watched.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> SignalWatch:
        global _watching
        _watching = self
        if threading.current_thread() is threading.main_thread():
            for number in _ASKING:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        global _watching
        _watching = None
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


_watching: SignalWatch | None = None


def asked() -> int | None:
    """Return the signal that asked the present run to stop, or None."""
    return _watching.received if _watching is not None else None


def stop_if_asked() -> None:
    """Raise Stopped where a signal has asked for it."""
    if (received := asked()) is not None:
        raise Stopped(received)
