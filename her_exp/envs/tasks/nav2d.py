"""Nav2D: walk from the corner of a plane to a goal near the opposite one."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from her_exp.envs.vector.shells import SingleGoalEnv, VectorGoalEnv
from her_exp.envs.vector.task import (
    BatchedTask,
    State,
    View,
    require,
    require_count,
    require_positive,
    within,
)
from her_exp.types import Array, Observation


class Nav2D(BatchedTask):
    """Start at (0, 0); the action, clipped to [-1, 1]^2, is added to the position.

    A step that ends within reach of the goal terminates. The observation and the
    achieved goal are the position (2,) float32.

    Args:
        max_steps: steps of an episode, at most.
        size: the plane is [0, size]^2.
        goal_low, goal_high: goals are uniform in [goal_low, goal_high]^2.
        distance_threshold: largest distance at which the goal is met.

    Raises:
        ValueError: an argument is out of its range.
    """

    success_terminates = True

    def __init__(
        self,
        max_steps: int = 50,
        size: float = 5.0,
        goal_low: float = 3.5,
        goal_high: float = 4.5,
        distance_threshold: float = 0.15,
    ):
        self.max_steps = require_count("max_steps", max_steps)
        self.size = require_positive("size", size)
        self.goal_high = require_positive("goal_high", goal_high)
        require(goal_high <= size, "goal_high", goal_high, f"<= size={size!r}")
        # Written so that NaN fails too.
        ordered = 0.0 <= goal_low < goal_high
        require(ordered, "goal_low", goal_low, f">= 0 and < goal_high={goal_high!r}")
        self.goal_low = float(goal_low)
        self.distance_threshold = require_positive("distance_threshold", distance_threshold)
        self.observation_space = spaces.Dict(
            {
                key: spaces.Box(0.0, size, (2,), np.float32)
                for key in ("observation", "achieved_goal", "desired_goal")
            }
        )
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def allocate(self, n: int) -> State:
        """Return position and goal, (n, 2) float32 each."""
        return {name: np.zeros((n, 2), np.float32) for name in ("position", "goal")}

    def draw(self, rng: np.random.Generator) -> Array:
        """Return (2,) in [0, 1): the goal."""
        return rng.random(2)

    def place(self, state: State, lanes: Array, draws: Array) -> None:
        """Start in the corner, goal uniform in its square."""
        state["position"][lanes] = 0.0
        # The sum may round to a hair beyond goal_high.
        goal = self.goal_low + (self.goal_high - self.goal_low) * draws
        state["goal"][lanes] = np.minimum(goal, self.goal_high)

    def advance(self, state: State, actions: Array) -> None:
        """Add the clipped action, clip to the plane."""
        position = state["position"]
        position += np.minimum(np.maximum(actions, -1.0), 1.0)
        np.minimum(position, self.size, out=position)
        np.maximum(position, 0.0, out=position)

    def observe(self, state: State) -> Observation:
        """Return the position, twice, and the goal."""
        return {
            "observation": state["position"].copy(),
            "achieved_goal": state["position"].copy(),
            "desired_goal": state["goal"].copy(),
        }

    def compute_success(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Say which goals lie within `distance_threshold`: bool (...)."""
        return within(achieved_goal, desired_goal, self.distance_threshold)

    def picture(self, view: View) -> Array:
        """Return the plane with goal, trail and walker."""
        from her_exp.envs.tasks.drawing import draw_plane  # Pillow is only needed by those who draw

        return draw_plane(view, low=0.0, high=self.size, radius=self.distance_threshold)


class Nav2DEnv(SingleGoalEnv):
    """Nav2D as a single env; takes the arguments of `Nav2D`."""

    task_class = Nav2D


class Nav2DVectorEnv(VectorGoalEnv):
    """Nav2D as a vector env; takes `num_envs` and the arguments of `Nav2D`."""

    task_class = Nav2D
