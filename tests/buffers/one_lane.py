"""A buffer of one lane that is told place by place where an env went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.types import GoalFunctions, GoalSpaces, Step


class Distance(GoalFunctions):
    """Minus the distance (dense), or a price for not being near; no info. Ends where the reward is `ends`."""

    def __init__(
        self, near: float | None = None, price: float = 1.0, ends: float = np.nan,
        strictly: bool = False,
    ) -> None:  # fmt: skip
        self.near, self.price, self.ends, self.strictly = near, price, ends, strictly

    def reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        gap = np.linalg.norm(np.asarray(achieved, float) - np.asarray(desired, float), axis=-1)
        if self.near is None:
            return -gap
        return -self.price * (gap >= self.near if self.strictly else gap > self.near)

    def terminated(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return self.reward(achieved, desired, info) == self.ends

    success = terminated


class OneLane:
    """Goes from the origin on, with one goal; places and goals are of `dtype`."""

    def __init__(
        self, functions: GoalFunctions, goal: Sequence[float], dtype: Any = np.float32,
        **settings: Any,
    ) -> None:  # fmt: skip
        box = spaces.Box(-np.inf, np.inf, (len(goal),), dtype)
        self.functions, self.goal, self.dtype = functions, goal, dtype
        given = {
            "capacity": 100, "strategy": "random", "num_envs": 1, "goal_functions": functions,
            "spaces": GoalSpaces(box, box, spaces.Box(-1, 1, (1,), np.float32)),
            "generator": np.random.default_rng(0),
        }  # fmt: skip
        self.buffer = HindsightReplayBuffer(**given | settings)
        self.now = self.at([0.0] * len(goal))
        self.buffer.begin(self.now)

    def at(self, place: Sequence[float]) -> dict[str, np.ndarray]:
        here, goal = np.array([place], self.dtype), np.array([self.goal], self.dtype)
        return {"observation": here, "achieved_goal": here, "desired_goal": goal}

    def add(
        self, *place: float, reward: float | None = None, terminated: bool = False,
        truncated: bool = False, valid: bool = True, info: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Step to a place; what it pays is what the goal's functions say, unless it is given."""
        after = self.at(place)
        told = {key: np.array([value]) for key, value in (info or {}).items()}
        goals = after["achieved_goal"], after["desired_goal"]
        paid = self.functions.reward(*goals, told) if reward is None else np.array([reward])
        action, no = np.zeros((1, 1), np.float32), np.array([False])
        ends, valid_ = (np.array([terminated]), np.array([truncated])), np.array([valid])
        paid = paid.astype(np.float64)
        self.buffer.add(Step(self.now, action, paid, *ends, after, valid_, told, no))
        self.now = after
