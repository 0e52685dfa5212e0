"""PointReach: a point mass on a plane is pushed to a goal, and has to be there at the last step."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from her_exp.envs.vector.shells import SingleGoalEnv, VectorGoalEnv
from her_exp.envs.vector.task import (
    BatchedTask,
    State,
    View,
    require_count,
    require_positive,
    within,
)
from her_exp.types import Array, Observation


class PointReach(BatchedTask):
    """Start and goal are uniform on the plane, the start is at rest. An episode never terminates.

    The observation is (x, y, vx, vy) float32, the action an acceleration in [-1, 1]^2 (clipped to
    it), the achieved goal the position: v += action_scale * action * dt, then x += v * dt, both
    clipped.

    Args:
        max_steps: steps of an episode.
        dt: seconds of a step.
        goal_range: start, goal and position lie in [-goal_range, goal_range]^2.
        max_speed: largest velocity of each axis.
        distance_threshold: largest distance at which the goal is met.
        action_scale: acceleration of an action of 1.

    Raises:
        ValueError: an argument is out of its range.
    """

    success_terminates = False

    def __init__(
        self,
        max_steps: int = 50,
        dt: float = 0.05,
        goal_range: float = 1.0,
        max_speed: float = 1.0,
        distance_threshold: float = 0.05,
        action_scale: float = 10.0,
    ):
        self.max_steps = require_count("max_steps", max_steps)
        self.dt = require_positive("dt", dt)
        self.goal_range = require_positive("goal_range", goal_range)
        self.max_speed = require_positive("max_speed", max_speed)
        self.distance_threshold = require_positive("distance_threshold", distance_threshold)
        self.action_scale = require_positive("action_scale", action_scale)
        most = np.array([goal_range, goal_range, max_speed, max_speed], np.float32)
        goal = spaces.Box(-most[:2], most[:2], dtype=np.float32)
        self.observation_space = spaces.Dict(
            {
                "observation": spaces.Box(-most, most, dtype=np.float32),
                "achieved_goal": goal,
                "desired_goal": spaces.Box(-most[:2], most[:2], dtype=np.float32),
            }
        )
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def allocate(self, n: int) -> State:
        """Return position, velocity and goal, (n, 2) float32 each."""
        return {name: np.zeros((n, 2), np.float32) for name in ("position", "velocity", "goal")}

    def draw(self, rng: np.random.Generator) -> Array:
        """Return (4,) in [0, 1): start and goal."""
        return rng.random(4)

    def place(self, state: State, lanes: Array, draws: Array) -> None:
        """Start at rest, start and goal uniform on the plane."""
        points = (2.0 * draws - 1.0) * self.goal_range
        state["position"][lanes] = points[:, :2]
        state["velocity"][lanes] = 0.0
        state["goal"][lanes] = points[:, 2:]

    def advance(self, state: State, actions: Array) -> None:
        """Accelerate, then move; speed and position are clipped on each axis."""
        position, velocity = state["position"], state["velocity"]
        push = np.minimum(np.maximum(actions, -1.0), 1.0)
        push *= self.action_scale * self.dt
        velocity += push
        np.minimum(velocity, self.max_speed, out=velocity)
        np.maximum(velocity, -self.max_speed, out=velocity)
        position += velocity * self.dt
        np.minimum(position, self.goal_range, out=position)
        np.maximum(position, -self.goal_range, out=position)

    def observe(self, state: State) -> Observation:
        """Return (x, y, vx, vy), the position and the goal."""
        position = state["position"]
        return {
            "observation": np.concatenate((position, state["velocity"]), axis=1),
            "achieved_goal": position.copy(),
            "desired_goal": state["goal"].copy(),
        }

    def compute_success(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Say which goals lie within `distance_threshold`: bool (...)."""
        return within(achieved_goal, desired_goal, self.distance_threshold)

    def picture(self, view: View) -> Array:
        """Return the plane with goal, trail and the point with its velocity."""
        from her_exp.envs.tasks.drawing import draw_plane  # Pillow is only needed by those who draw

        return draw_plane(
            view,
            low=-self.goal_range,
            high=self.goal_range,
            radius=self.distance_threshold,
            arrow=0.2 * self.goal_range / self.max_speed * view.state["velocity"],
        )


class PointReachEnv(SingleGoalEnv):
    """PointReach as a single env; takes the arguments of `PointReach`."""

    task_class = PointReach


class PointReachVectorEnv(VectorGoalEnv):
    """PointReach as a vector env; takes `num_envs` and the arguments of `PointReach`."""

    task_class = PointReach
