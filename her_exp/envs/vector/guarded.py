"""Gymnasium's vector envs, watched: what a lane raises, gives in a wrong shape, or fails to answer.

Each failure becomes an `EnvFailed` that names the lane. A process that hangs or dies is noticed only
where the env runs in one of its own: `Workers`.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing import connection
from queue import Empty
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from her_exp.system.foreign import reason_of, trace_of
from her_exp.system.signals import LEFT_TO_THE_RUN, Stopped, asked, killed_with_starter
from her_exp.types import KEYS, EnvFailed
from her_exp.values import add_info, one_number, one_truth, readable, told

MakeEnv = Callable[[], gym.Env[Any, Any]]

#: Seconds of one look at a worker. Only looks are counted: a run that was suspended is not late.
_LOOK = 1.0
#: Seconds that a run which was asked to stop waits for an answer.
_PATIENCE = 5.0
#: Seconds that workers have to close their envs.
_GRACE = 5.0


class WatchedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """One lane: an exception of the env, or an answer of another form, becomes `EnvFailed`.

    A vector env would cast and broadcast an answer of another form where it can.

    Args:
        env: the env of this lane, a goal env.
        lane: its number.
    """

    def __init__(self, env: gym.Env[Any, Any], lane: int):
        super().__init__(env)
        self._lane = lane
        space: Any = env.observation_space
        self._wanted = [(key, space[key].shape, space[key].dtype) for key in KEYS]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode."""
        observation, info = self._asked("reset", lambda: self.env.reset(seed=seed, options=options))
        self._check("reset", observation)
        return observation, readable(self._who("reset"), info)

    def step(self, action: Any) -> Any:
        """Take a step."""
        given = self._asked("step", lambda: self.env.step(action))
        observation, reward, terminated, truncated, info = given
        self._check("step", observation)
        who = self._who("step")
        return (
            observation,
            one_number(who, "reward", reward),
            one_truth(who, "terminated", terminated),
            one_truth(who, "truncated", truncated),
            readable(who, info),
        )

    def _who(self, call: str) -> str:
        return f"env: {call} of lane {self._lane} gave"

    def _asked(self, call: str, ask: Callable[[], Any]) -> Any:
        wanted = 2 if call == "reset" else 5
        try:
            answer = ask()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's env raises, sys.exit too
            line = f"env: {call} of lane {self._lane} raised {reason_of(error)}"
            raise EnvFailed(line, trace_of(error)) from error
        if not isinstance(answer, tuple) or len(answer) != wanted:
            raise EnvFailed(f"{self._who(call)} {told(answer)}; give {wanted} values")
        return answer

    def _check(self, call: str, observation: Any) -> None:
        who = self._who(call)
        if not isinstance(observation, dict):
            raise EnvFailed(f"{who} an observation that is a {type(observation).__name__}, no dict")
        for key, shape, dtype in self._wanted:
            if key not in observation:
                raise EnvFailed(f"{who} an observation without {key}")
            value = observation[key]
            if not isinstance(value, np.ndarray):
                value = np.asarray(value)
            if value.shape != shape:
                raise EnvFailed(f"{who} {key} of shape {value.shape}, its space says {shape}")
            if value.dtype != dtype and not np.can_cast(value.dtype, dtype, "same_kind"):
                raise EnvFailed(f"{who} {key} as {value.dtype}, its space says {dtype}")


class Lanes(SyncVectorEnv):
    """An env for each lane in this process, whose infos need not be alike where nobody reads them."""

    def _add_info(self, vector_infos: Any, env_info: Any, env_num: int) -> Any:
        return add_info(vector_infos, env_info, env_num, self.num_envs)


class Workers(AsyncVectorEnv):
    """An env for each lane in a process of its own; one that dies or hangs is named, and none stays.

    They end with the process that made them, whatever ends it.

    Args:
        makers: make the env of each lane.
        timeout: seconds that a `reset` or `step` may take.

    Raises:
        EnvFailed: an env raised, its process died, or it gave no answer in time.
        Stopped: a signal asked for the end, and an env gave no answer for some seconds.
    """

    def __init__(self, makers: Sequence[MakeEnv], timeout: float):
        self._timeout = timeout
        self._pollers: list[Any] = []
        _open.add(self)
        try:
            super().__init__([_in_worker(make) for make in makers])
        except BaseException as error:
            died = isinstance(error, EOFError | ConnectionError)
            failure = self._died("while it was made") if died else error
            self.close()
            raise failure from None
        for pipe in self.parent_pipes:
            poller = select.poll()
            poller.register(pipe.fileno(), select.POLLIN)
            self._pollers.append(poller)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """Start episodes in all lanes."""
        ask = lambda: self.reset_async(seed=seed, options=options)  # noqa: E731
        return self._watched("reset", ask, self.reset_wait)

    def step(self, actions: Any) -> Any:
        """Step all lanes."""
        return self._watched("step", lambda: self.step_async(actions), self.step_wait)

    def _watched(self, call: str, ask: Callable[[], None], answer: Callable[[], Any]) -> Any:
        try:
            ask()
            self._wait(call)
            return answer()
        except (EOFError, ConnectionError):
            raise self._died(f"during {call}") from None

    def _wait(self, call: str) -> None:
        """Wait until every lane has answered, or its process has ended."""
        left, patience = self._timeout, _PATIENCE
        for poller in self._pollers:
            while not poller.poll(1000 * min(_LOOK, left)):
                left -= _LOOK
                received = asked()
                patience -= _LOOK * (received is not None)
                if left > 0 and patience > 0:
                    continue
                hung = [lane for lane, other in enumerate(self._pollers) if not other.poll(0)]
                self._kill(hung)
                if received is not None:
                    raise Stopped(received)
                raise EnvFailed(
                    f"env: {call} of lane {', '.join(map(str, hung))} gave no answer within "
                    f"{self._timeout:g} s (env.timeout): it was killed"
                )

    def _died(self, when: str) -> EnvFailed:
        """Name the worker that died, once it is known which."""
        sentinels = {self.processes[lane].sentinel: lane for lane in self._started()}
        ended = connection.wait(list(sentinels), timeout=_LOOK)
        deaths = []
        for lane in sorted(sentinels[one] for one in ended):  # type: ignore[index]
            self.processes[lane].join(_LOOK)  # its exit code comes a moment after its end
            deaths.append(f"lane {lane} died {when} ({_exit(self.processes[lane].exitcode)})")
        return EnvFailed(f"env: the process of {' and '.join(deaths) or f'a lane died {when}'}")

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        # Gymnasium's would raise the class of the error anew and print the traceback as a warning.
        failed = sum(not success for success in successes)
        if not failed:
            return
        try:
            errors = [self.error_queue.get(timeout=_GRACE) for _ in range(failed)]
        except Empty:
            raise EnvFailed("env: a lane failed and could not say why") from None
        lane, _, error, trace = min(errors, key=lambda one: one[0])
        if isinstance(error, EnvFailed):
            raise error
        raise EnvFailed(f"env: lane {lane} raised {type(error).__name__}: {error}", trace)

    def _add_info(self, vector_infos: Any, env_info: Any, env_num: int) -> Any:
        return add_info(vector_infos, env_info, env_num, self.num_envs)

    def _started(self) -> list[int]:
        processes = getattr(self, "processes", [])  # none yet where not even one env can be made
        return [lane for lane, process in enumerate(processes) if process.pid is not None]

    def _kill(self, lanes: Iterable[int]) -> None:
        for lane in lanes:
            self.processes[lane].kill()
            self.processes[lane].join()

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """End all processes: each may close its env first, one that does not end is killed."""
        _open.discard(self)
        for lane in self._started():
            with suppress(OSError):  # it has ended
                self.parent_pipes[lane].send(("close", None))
        deadline = time.monotonic() + _GRACE
        for lane in self._started():
            self.processes[lane].join(max(0.0, deadline - time.monotonic()))
        self._kill(self._started())
        for pipe in getattr(self, "parent_pipes", []):
            pipe.close()


#: Those not closed yet. Python waits at its end for processes that nobody ended.
_open: weakref.WeakSet[Workers] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for workers in list(_open):
        workers.close()


def _in_worker(make: MakeEnv) -> MakeEnv:
    """Return a `make` that, in another process than this, ends with this one and leaves signals to it.

    Schedulers send SIGTERM or SIGUSR2 to every process of a job; workers that died of it would take
    the checkpoint along. No SIG_IGN here, which programs started by an env would inherit.
    """
    parent = os.getpid()
    by_main_thread = threading.current_thread() is threading.main_thread()

    def made() -> gym.Env[Any, Any]:
        if os.getpid() != parent:
            killed_with_starter(by_main_thread)
            for number in LEFT_TO_THE_RUN:
                signal.signal(number, lambda *_: None)
        return make()

    return made


def _exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}: out of memory, or killed by hand" if code == -signal.SIGKILL else name
