"""A walk towards a goal, of which each test changes what it asks about, and goals of which it meets some."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

KEYS = ("observation", "achieved_goal", "desired_goal")


def goal_space(box: spaces.Space[Any], **others: spaces.Space[Any]) -> spaces.Dict:
    """One space for all three keys, but the named ones."""
    return spaces.Dict(dict.fromkeys(KEYS, box) | others)


class Walk(gym.Env[Any, Any]):
    """A step in any direction on a plane; the goal is met within `radius`. Nothing but a reward.

    Keywords change attributes and methods, a function being one of `self`; None leaves what was there.
    """

    observation_space = goal_space(spaces.Box(-10.0, 10.0, (2,), np.float64))
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    radius, stride, edge, dtype = 0.3, 1.0, 10.0, np.float64

    def __init__(self, **changed: Any) -> None:
        for name, what in changed.items():
            if what is not None:
                is_method = isinstance(what, FunctionType)
                setattr(self, name, MethodType(what, self) if is_method else what)

    def met(self, achieved: Any, desired: Any) -> Any:
        return np.linalg.norm(achieved - desired, axis=-1) <= self.radius

    def _observe(self) -> dict[str, Any]:
        return dict(zip(KEYS, (self.at.copy(), self.at.copy(), self.goal.copy()), strict=True))

    def about(self) -> dict[str, Any]:
        return {}

    def end(self) -> bool:
        return False

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(self.dtype)
        return self._observe(), self.about()

    def step(self, action: Any) -> Any:
        self.at = self.move(action).astype(self.dtype)
        info = self.about()
        reward = np.asarray(self.compute_reward(self.at.copy(), self.goal.copy(), info)).item()
        return self._observe(), float(reward), self.end(), False, info

    def move(self, action: Any) -> Any:
        return np.clip(self.at + self.stride * action, -self.edge, self.edge)

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.met(achieved, desired) - 1.0


#: For an env that says what success is, and for one that ends there.
SUCCESS = {"compute_success": lambda walk, achieved, desired: walk.met(achieved, desired)}
ENDS = SUCCESS | {
    "compute_terminated": lambda walk, achieved, desired, _: walk.met(achieved, desired)
}

GOALS = np.random.default_rng(1).uniform(-1, 1, (2, 400, 2))
NEAR = np.linalg.norm(GOALS[0] - GOALS[1], axis=-1) <= Walk.radius
RANGE = (-1.0, 0.0)
assert 10 < NEAR.sum() < 390


class Costs(Walk):
    """The reward reads two fields of info; success is said."""

    compute_success = Walk.met

    def about(self) -> dict[str, Any]:
        return {"cost": 2.0 * self.at[0], "speed": np.abs(self.at)}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return (
            super().compute_reward(achieved, desired, info) - info["cost"] - info["speed"][..., 0]
        )


class Bare(Walk):
    """Has goals and no reward of them."""

    compute_reward = property()  # type: ignore[assignment]

    def step(self, action: Any) -> Any:
        return self._observe(), 0.0, False, True, {}
