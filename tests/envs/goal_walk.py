"""A walk towards a goal that says little, in variants, and goals of which it meets some."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Walk(gym.Env[Any, Any]):
    """A step in any direction on a plane; the goal is met within 0.3. Nothing but a reward."""

    observation_space = spaces.Dict(
        {
            key: spaces.Box(-10.0, 10.0, (2,), np.float64)
            for key in ("observation", "achieved_goal", "desired_goal")
        }
    )
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    radius = 0.3

    def _observe(self) -> dict[str, Any]:
        return {
            "observation": self.at.copy(),
            "achieved_goal": self.at.copy(),
            "desired_goal": self.goal.copy(),
        }

    def about(self) -> dict[str, Any]:
        return {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1, 1, (2, 2))
        return self._observe(), self.about()

    def step(self, action: Any) -> Any:
        self.at = np.clip(self.at + action, -10, 10)
        info = self.about()
        reward = np.asarray(self.compute_reward(self.at, self.goal, info)).item()
        return self._observe(), float(reward), False, False, info

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return (np.linalg.norm(achieved - desired, axis=-1) <= self.radius) - 1.0


class WithSuccess(Walk):
    def compute_success(self, achieved: Any, desired: Any) -> Any:
        return np.linalg.norm(achieved - desired, axis=-1) <= self.radius


class Ends(WithSuccess):
    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, desired)


GOALS = np.random.default_rng(1).uniform(-1, 1, (2, 400, 2))
NEAR = np.linalg.norm(GOALS[0] - GOALS[1], axis=-1) <= Walk.radius
RANGE = (-1.0, 0.0)


class Costs(WithSuccess):
    """The reward reads a field of info."""

    def about(self) -> dict[str, Any]:
        return {"cost": 2.0 * self.at[0], "speed": np.abs(self.at)}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) - info["cost"]
