"""A goal task of many lanes at once: its spaces, dynamics and goal functions, as NumPy programs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from her_exp.types import Array, Observation

#: Arrays by name with the lanes first: all that changes while a task runs, its clock apart.
State = dict[str, Array]


class View(NamedTuple):
    """What a picture of one lane shows."""

    state: State  #: of this lane, without the lane axis
    trail: Array  #: (steps + 1, g): what was achieved since the reset, the newest last
    max_steps: int
    success: bool


def require(holds: bool, name: str, value: object, wanted: str) -> None:
    """Raise ValueError, in one line, unless the argument `name` holds what is wanted of it."""
    if not holds:
        raise ValueError(f"{name}={value!r}: must be {wanted}")


def require_count(name: str, value: int) -> int:
    """Return `value` as int; ValueError unless it is a whole number of at least 1."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(whole and value >= 1, name, value, "a whole number >= 1")
    return int(value)


def require_positive(name: str, value: float) -> float:
    """Return `value` as float; ValueError unless it is a finite number above 0."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    require(number and math.isfinite(value) and value > 0, name, value, "a number > 0")
    return float(value)


def within(achieved: Array, desired: Array, threshold: float) -> Any:
    """Say which goals (..., 2) lie within `threshold`: bool (...), or one bool for single goals."""
    # In float64, and column by column: then a batch of any size gives what its rows alone give
    # (a reduction over the last axis may sum in another order, with fused products).
    gap = np.subtract(achieved, desired, dtype=np.float64)
    gap *= gap
    near = np.sqrt(gap[..., 0] + gap[..., 1]) <= threshold
    return near if near.ndim else bool(near)


class BatchedTask(ABC):
    """A task with a sparse reward: 0 where the goal is met, else -1.

    The goal functions take goals (..., g) of any leading shape and answer with that shape; for
    single goals (g,) they answer with a plain float or bool. `info` is never read.

    Attributes:
        observation_space: Dict of `observation`, `achieved_goal`, `desired_goal`, of one lane.
        action_space: of one lane.
        max_steps: steps of an episode, at most.
        success_terminates: whether meeting the goal ends the episode.
        distance_threshold: where success is a Euclidean distance: its largest value.
    """

    observation_space: spaces.Dict
    action_space: spaces.Box | spaces.Discrete
    max_steps: int
    success_terminates: bool
    distance_threshold: float

    @abstractmethod
    def allocate(self, n: int) -> State:
        """Return the state of n lanes, not yet placed."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Array:
        """Return the random numbers (d,) that start one episode of one lane."""

    @abstractmethod
    def place(self, state: State, lanes: Array, draws: Array) -> None:
        """Start episodes in the lanes (m,) int from their draws (m, d)."""

    @abstractmethod
    def advance(self, state: State, actions: Array) -> None:
        """Move all n lanes by one step, in place; actions are (n, a) float32 or (n,) int."""

    @abstractmethod
    def observe(self, state: State) -> Observation:
        """Return the observation of all lanes, in arrays of its own."""

    @abstractmethod
    def compute_success(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Say which goals are met: bool (...)."""

    @abstractmethod
    def picture(self, view: View) -> Array:
        """Return a picture of one lane, (height, width, 3) uint8."""

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Return 0 where the goal is met, else -1: float64 (...)."""
        return self.compute_success(achieved_goal, desired_goal) - 1.0

    def compute_terminated(
        self, achieved_goal: Array, desired_goal: Array, info: Any = None
    ) -> Any:
        """Say where an episode with this goal ends for good: bool (...)."""
        success = self.compute_success(achieved_goal, desired_goal)
        return success if self.success_terminates else success & False

    def compute_truncated(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Return False (...): no goal cuts an episode, only the count of its steps does."""
        return self.compute_success(achieved_goal, desired_goal) & False
