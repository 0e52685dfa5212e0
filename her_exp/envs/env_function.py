"""One of an env's goal functions on batches: is it batched, and if not, row by row."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np

from her_exp.system.foreign import Left, reason_of
from her_exp.text import shortened
from her_exp.types import Array, UserError
from her_exp.values import as_array, is_numeric, is_truth, lanes_of, numbers, told

log = logging.getLogger(__name__)

#: f(achieved, desired, info) as environments define it.
EnvFunction = Callable[[Array, Array, Mapping[str, Any]], Any]


def env_function(env: gym.Env[Any, Any], name: str) -> EnvFunction | None:
    """Return a method of the env under its wrappers (they forward nothing since Gymnasium 1.0).

    One that takes (achieved, desired) only, as `compute_success` often does, is handed no info.
    """
    if not env.has_wrapper_attr(name):
        return None
    function = env.get_wrapper_attr(name)
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError:
        return lambda achieved, desired, info: function(achieved, desired)
    return cast(EnvFunction, function)


#: Steps of the episodes that are played to know an env; the first may come to its end.
_STEPS = (50, 7, 7)


class Probe:
    """Goals to try the env's functions on: achieved on random steps, paired with near and far goals.

    Attributes:
        achieved, desired: (n, goal_dim) in the env's own dtype; about a third of the pairs are equal.
        info: one dict of the env for each pair.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0):
        achieved, desired, info = [], [], []
        space: Any = env.observation_space
        self._space = space["desired_goal"]
        env.action_space.seed(seed)
        for number, steps in enumerate(_STEPS):
            observation, _ = env.reset(seed=seed + number)
            asked = np.array(observation["desired_goal"])
            for _ in range(steps):
                observation, _, terminated, truncated, about = env.step(env.action_space.sample())
                achieved.append(np.array(observation["achieved_goal"]))
                desired.append(asked)
                info.append(
                    {k: np.copy(v) if isinstance(v, np.ndarray) else v for k, v in about.items()}
                )
                asked = np.array(observation["desired_goal"])
                if terminated or truncated:
                    break
        n = len(achieved)
        # Met goals are rare by chance: hand every achieved goal in as its own goal as well, and the
        # next one's, which lies near.
        self.achieved = np.stack([*achieved, *achieved, *achieved])
        self.desired = np.stack([*desired, *achieved, *achieved[1:], achieved[0]])
        self.info = [*info, *info, *info]
        shuffle = np.random.default_rng(seed).permutation(3 * n)
        self.achieved, self.desired = self.achieved[shuffle], self.desired[shuffle]
        self.info = [self.info[i] for i in shuffle]

    def within(self, goals: Array) -> Array:
        """Return goals (n, goal_dim), cut to the bounds of their space: beyond, an env need not answer."""
        if not isinstance(self._space, gym.spaces.Box):
            return goals
        low, high = (bound.reshape(1, -1) for bound in (self._space.low, self._space.high))
        return goals.clip(low, high).astype(goals.dtype)


def _together(key: str, values: Sequence[Any]) -> Array:
    """Stack a field of the info of several steps; UserError unless it is numbers of one shape."""
    arrays: list[Array] = []
    for value in values:
        array = as_array(value)
        if array is None or not is_numeric(array) or (arrays and array.shape != arrays[0].shape):
            raise UserError(
                f"buffer.info_keys: info[{key!r}] of the env is {told(value)} after {told(values[0])}; it "
                "must be numbers, always of one shape"
            )
        arrays.append(array)
    return np.stack(arrays)


class GoalFunction:
    """One of the env's functions on batches: called as it is where it is batched, else row by row.

    Attributes:
        batched: whether it takes many goals at once.
        reads_info: whether it needs the declared fields of info; `has_info` says where they are there.
    """

    def __init__(
        self, name: str, function: EnvFunction, dtype: Any, probe: Probe, info_keys: Sequence[str]
    ):
        self.name, self._function, self._dtype = name, function, dtype
        self._info_keys = tuple(info_keys)
        self._constant = False
        for key in info_keys:
            given = [key in row for row in probe.info]
            if any(given) and not all(given):
                raise UserError(f"buffer.info_keys: only some steps give info[{key!r}] as a number")
            if not any(given):
                raise UserError(
                    f"buffer.info_keys: the env's info has no {key!r}; it has "
                    f"{', '.join(map(str, probe.info[0])) or 'nothing'}"
                )
        info = {key: _together(key, [row[key] for row in probe.info]) for key in info_keys}
        start = time.perf_counter()
        expected = self._one_by_one(probe.achieved, probe.desired, info)
        self._per_row = (time.perf_counter() - start) / len(expected)
        self.batched = self._is_batched(probe, info, expected)
        self.reads_info = bool(info_keys) and not self._works_without(probe)

    def warn(self) -> None:
        """Say what it costs if the function is not batched."""
        if not self.batched:
            log.warning(
                "%s of this env is not batched: it is called row by row, %.0f us each "
                "(%.1f ms for 256 relabelled steps)",
                self.name,
                self._per_row * 1e6,
                self._per_row * 256e3,
            )

    def _works_without(self, probe: Probe) -> bool:
        try:
            self._call(probe.achieved[0], probe.desired[0], {})
        except Exception:  # whatever a stranger's function raises
            return False
        return True

    def _is_batched(self, probe: Probe, info: Mapping[str, Array], expected: Array) -> bool:
        try:
            result = np.asarray(self._call(probe.achieved, probe.desired, info))
        except Exception:  # whatever a function raises that was written for one row
            return False
        if result.shape == ():  # a constant answer, such as Fetch's `False`, holds for every row
            self._constant = bool((expected == result).all())
            return self._constant
        if result.shape != expected.shape:
            return False
        return result.dtype.kind in "biuf" and bool(
            np.allclose(result.astype(np.float64), expected.astype(np.float64))
        )

    def _call(self, achieved: Array, desired: Array, info: Mapping[str, Any]) -> Any:
        """Ask the env, in copies: some functions work in the arrays that they are handed."""
        info = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in info.items()}
        try:
            return self._function(achieved.copy(), desired.copy(), info)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # sys.exit would end the program
            raise Left(reason_of(error)) from error

    def _one_answer(self, value: Any) -> Any:
        """Return the answer for one goal; UserError unless it is one number, or one truth value."""
        array = as_array(value)
        if array is None or array.size != 1 or not self._is_answer(array):
            raise UserError(
                f"{self.name} of the env gives {told(value)} for one goal; give one {self._what}"
            )
        return array.reshape(())

    def _is_answer(self, array: Array) -> bool:
        return is_truth(array) if self._dtype == np.bool_ else is_numeric(array)

    @property
    def _what(self) -> str:
        return "truth value" if self._dtype == np.bool_ else "number"

    def _one_by_one(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        out = np.empty(len(achieved), self._dtype)
        for i in range(len(achieved)):
            row = {key: value[i] for key, value in info.items()}
            try:
                out[i] = self._one_answer(self._call(achieved[i], desired[i], row))
            except UserError:
                raise
            except KeyError as error:
                key = error.args[0] if error.args else "?"
                raise UserError(
                    f"buffer.info_keys: {self.name} of the env reads info[{key!r}]; "
                    f"give buffer.info_keys=[{','.join([*self._info_keys, str(key)])}]"
                ) from error
            except Exception as error:  # whatever a stranger's function raises
                reason = shortened(reason_of(error), 150)
                raise UserError(
                    f"{self.name} of the env fails on its own goals ({reason}); if it reads info, name "
                    "the fields in buffer.info_keys=[...]; python -m her_exp.check env=... tells more"
                ) from error
        return out

    def has_info(self, info: Mapping[str, Array], n: int) -> Array:
        """Return for which of `n` lanes of a vector env's info all is there that the function reads."""
        there = np.ones(n, bool)
        for key in self._info_keys if self.reads_info else ():
            there &= lanes_of(info, key, n)
        return there

    def __call__(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return the answers (b,) for goals (b, goal_dim); of `info` the declared fields are read.

        Raises:
            UserError: an answer is no number, or no truth value, or they are not one a goal.
        """
        n = len(achieved)
        read = [key for key in self._info_keys if key in info or self.reads_info]
        info = {key: numbers(f"env: info[{key!r}]", info[key], n) for key in read}
        if not self.batched:
            return self._one_by_one(achieved, desired, info)
        result = np.asarray(self._call(achieved, desired, info))
        if result.shape == () and self._constant:
            result = np.full(n, result)
        if result.shape != (n,):
            raise UserError(
                f"{self.name} of this env gave {result.shape} for {n} goals; "
                "python -m her_exp.check env=... tells more"
            )
        if not self._is_answer(result):
            raise UserError(
                f"{self.name} of this env gave {told(result)}; give one {self._what} a goal"
            )
        return np.array(result, self._dtype)
