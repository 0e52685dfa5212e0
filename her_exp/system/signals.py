"""Signals that ask a run to stop: the step is finished, a checkpoint written, then it ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

_ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
#: Those that an env's process leaves to the run. It ignores SIGINT from its first line (`envs.make`).
LEFT_TO_THE_RUN = tuple(number for number in _ASKING if number != signal.SIGINT)

#: Of Linux's prctl.h.
_PR_SET_PDEATHSIG = 1


class Stopped(Exception):
    """A signal ended the run; its last checkpoint is whole. `code` is the shell's exit code for it."""

    def __init__(self, received: int):
        super().__init__(received)
        self.received = received
        self.code = 128 + received

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.received).name}"


class SignalWatch:
    """Notes SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 in `received` while its `with` block runs.

    A second SIGINT raises KeyboardInterrupt at once. Outside of the main thread nothing is watched: a run
    there sees what the main thread's watch notes.
    Under submitit SIGTERM goes by, as submitit has it: Slurm sends it before the signal that counts.
    """

    def __init__(self) -> None:
        self.received: int | None = _early
        self._before: dict[int, Any] = {}
        self._watches = False
        self._outer: SignalWatch | None = None  # of the launcher that this run is a job of

    def __enter__(self) -> SignalWatch:
        global _watching
        main = threading.current_thread() is threading.main_thread()
        if not main and _watching is not None:
            return _watching
        self._outer = _watching
        if self._outer is not None:
            self.received = self._outer.received
        _watching, self._watches = self, True
        if main:
            submitit = {signal.SIGTERM} if "SUBMITIT_EXECUTOR" in os.environ else set()
            for number in set(_ASKING) - submitit:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        global _watching
        if not self._watches:
            return
        _watching, self._watches = self._outer, False
        if self._outer is not None:
            self._outer.received = self.received
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


_watching: SignalWatch | None = None
_early: int | None = None  # what asked a worker of a pool to stop while no run was on in it
_OF_A_POOL = {signal.SIGINT, signal.SIGTERM}


def await_signals() -> None:
    """Let a worker of a pool note what asks it to stop also before and between its jobs.

    It was started with these signals held back (`passed_on_to_children`), or it would die of one while
    it imports, and the pool would take the others with it.
    """

    def note(number: int, _: FrameType | None) -> None:
        global _early
        _early = number

    for number in _OF_A_POOL:
        signal.signal(number, note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_A_POOL)


def stop_if_asked_early() -> None:
    """Raise Stopped where a worker of a pool was asked to stop while no run was on in it."""
    if _early is not None:
        raise Stopped(_early)


def asked() -> int | None:
    """Return the signal that asked the present run to stop, or None."""
    return _watching.received if _watching is not None else None


def stop_if_asked() -> None:
    """Raise Stopped where a signal has asked for it."""
    if (received := asked()) is not None:
        raise Stopped(received)


def hand_on(stop: Stopped) -> None:
    """Give the signal that ended the run to submitit, if it waits for it: it queues the job again."""
    if "SUBMITIT_EXECUTOR" in os.environ and stop.received in (signal.SIGUSR1, signal.SIGUSR2):
        handler = signal.getsignal(stop.received)
        if callable(handler):
            handler(stop.received, None)


def end_with_parent() -> None:
    """End this worker of a pool, by SIGTERM, when its parent dies; else it would wait for ever.

    A run in it writes its checkpoint first.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        while True:  # the first ends the run, a later one the worker
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    threading.Thread(target=watch, daemon=True).start()


def killed_with_starter(by_main_thread: bool) -> None:
    """Have this process killed when the one that started it ends, in the midst of an env's step too.

    Args:
        by_main_thread: was it started there? To Linux the end of another thread would be the end.
    """
    starter, above = multiprocessing.parent_process(), os.getppid()
    assert starter is not None
    # Another process is above us under a fork server, and where the starter has ended by now.
    asks_linux = by_main_thread and above == starter.pid and sys.platform == "linux"
    if asks_linux and ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0:
        if os.getppid() != above:  # it ended before we asked
            os.kill(os.getpid(), signal.SIGKILL)
        return

    def watch() -> None:
        while os.getppid() == above and starter.is_alive():
            starter.join(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def passed_on_to_children() -> Iterator[None]:
    """Pass SIGINT and SIGTERM on to the workers of a pool, as SIGTERM, and wait for what they do.

    A second SIGINT raises KeyboardInterrupt.
    """
    seen = False

    def pass_on(number: int, _: FrameType | None) -> None:
        nonlocal seen
        if seen and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen, children = True, multiprocessing.active_children()
        if not children:  # nothing has begun
            raise KeyboardInterrupt
        for child in children:
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)

    heard: list[int] = []
    before = {number: signal.signal(number, pass_on) for number in _OF_A_POOL}
    before[signal.SIGUSR2] = signal.signal(signal.SIGUSR2, lambda *_: pass_on(heard[-1], None))
    main, over = threading.get_ident(), threading.Event()

    def listen() -> None:
        while not over.is_set():
            if (told := signal.sigtimedwait(_OF_A_POOL, 0.2)) is not None:
                heard.append(told.si_signo)
                signal.pthread_kill(main, signal.SIGUSR2)  # it may wait in a lock

    # Workers inherit what this thread holds back, and let it come in `await_signals`.
    resource_tracker.ensure_running()  # now: when it starts it lets in what was held back
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_A_POOL)
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        for number, handler in before.items():
            signal.signal(number, handler)
