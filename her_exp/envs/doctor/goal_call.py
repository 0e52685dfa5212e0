"""The env's goal functions on pairs of goals: one by one, in a batch, and which info they read."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from her_exp.envs.doctor.episodes import Episode, Moment, WatchedInfo
from her_exp.envs.doctor.findings import Findings, words_of
from her_exp.types import Array

#: More pairs than this say nothing new.
MOST_PAIRS = 96
#: Floats this near count as equal, so that float32 sums in another order pass.
TOLERANCE = 1e-5


class Pair(NamedTuple):
    """A goal that was achieved and one that might have been asked for."""

    achieved: Array
    desired: Array
    info: dict[str, Any]


def pairs_of(moments: Sequence[Moment]) -> list[Pair]:
    """Pair each achieved goal with the one asked for, with itself and with another step's.

    No two pairs are alike, and their number differs from the goal's length: else an answer over
    the wrong axis would have the right shape.
    """
    n = len(moments)
    some = [moments[i] for i in np.linspace(0, n - 1, min(n, MOST_PAIRS // 3)).astype(int)]
    goals: dict[bytes, Pair] = {}
    for i, moment in enumerate(some):
        for desired in (moment.desired, moment.achieved, some[i - 1].achieved):
            pair = Pair(moment.achieved, desired, moment.info)
            goals.setdefault(pair.achieved.tobytes() + pair.desired.tobytes(), pair)
    pairs = list(goals.values())
    return pairs[:-1] if len(pairs) == np.size(some[0].achieved) else pairs


class GoalCall:
    """One of the env's functions of (achieved, desired, info), and the info fields it read.

    Args:
        name: as the env calls it.
        function: bound; it may leave `info` out of its arguments.
    """

    def __init__(self, name: str, function: Callable[..., Any]):
        self.name, self._function = name, function
        self.read: set[str] = set()
        try:
            inspect.signature(function).bind(0, 0, {})
            self._takes_info = True
        except TypeError:
            self._takes_info = False
        except ValueError:  # a builtin tells nothing about itself
            self._takes_info = True

    def _call(self, achieved: Array, desired: Array, info: Any) -> Any:
        arguments = (achieved.copy(), desired.copy())
        return np.asarray(self._function(*arguments, *([info] if self._takes_info else [])))

    def one(self, achieved: Array, desired: Array, info: dict[str, Any]) -> float:
        """Return the answer for a single pair.

        Raises:
            ValueError: it is not one number.
            MissingInfo: it reads an info field that is not there.
        """
        answer = self._call(achieved, desired, WatchedInfo(info, self.read))
        if answer.size != 1:
            raise ValueError(f"shape {answer.shape} for a single goal, in place of one number")
        return float(answer.reshape(())) + 0.0  # no -0, which reads badly

    def batch_fault(self, pairs: Sequence[Pair]) -> tuple[bool, str] | None:
        """Compare the answer for all pairs at once with the answers one by one.

        Returns:
            None where they agree; else whether it mixes rows, and what happened in words.
        """
        expected = np.array([self.one(*pair) for pair in pairs])
        n = len(pairs)
        info = {
            key: np.stack([np.asarray(pair.info[key]) for pair in pairs])
            for key in self.read
            if all(key in pair.info for pair in pairs)
        }
        achieved = np.stack([pair.achieved for pair in pairs])
        desired = np.stack([pair.desired for pair in pairs])
        try:
            answer = self._call(achieved, desired, info)
        except Exception as error:
            return False, f"{n} goals at once raise {words_of(error)}"
        if answer.shape == () and np.allclose(expected, float(answer), atol=TOLERANCE):
            return None  # a constant answer, such as Fetch's `False`, holds for every row
        if answer.shape != (n,):
            return False, f"{n} goals at once give shape {answer.shape}, in place of ({n},)"
        differ = ~np.isclose(answer.astype(np.float64), expected, TOLERANCE, TOLERANCE)
        if not differ.any():
            return None
        row = int(np.flatnonzero(differ)[0])
        return True, (
            f"in a batch of {n} goals, {int(differ.sum())} get another answer than alone "
            f"(row {row}: {answer[row]:g} in the batch, {expected[row]:g} alone)"
        )

    def seconds_each(self, pairs: Sequence[Pair]) -> float:
        """Return the time that one pair alone takes."""
        start = time.perf_counter()
        for pair in pairs:
            self.one(*pair)
        return (time.perf_counter() - start) / len(pairs)


class Seen:
    """What was seen of an env, and where what it says goes.

    Args:
        env: stands wherever an episode left it.
        episodes: played with random actions.
        found: the findings go here.
    """

    def __init__(self, env: gym.Env[Any, Any], episodes: Sequence[Episode], found: Findings):
        self.env, self.episodes, self.found = env, episodes, found
        self.moments = [moment for episode in episodes for moment in episode.moments]
        self.calls = {
            name: GoalCall(name, env.get_wrapper_attr(name))
            for name in ("compute_reward", "compute_terminated", "compute_success")
            if env.has_wrapper_attr(name)
        }


def share(found: Array) -> str:
    """Return the share of true values, for people."""
    return f"{100 * np.mean(found):.3g} %"
