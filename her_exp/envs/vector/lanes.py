"""The lanes of a batched task: their state, their clocks and, for pictures, their trails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from her_exp.envs.vector.task import BatchedTask, View
from her_exp.types import Array, Observation


class Lanes:
    """n lanes of a task. Gymnasium shells decide when a lane restarts, and from which generator.

    Args:
        task: the task they run.
        n: number of lanes.
        keep_trail: remember what each lane achieved in its episode, for `picture`.
    """

    def __init__(self, task: BatchedTask, n: int, keep_trail: bool):
        self.task, self.n = task, n
        self.state = task.allocate(n)
        self.steps = np.zeros(n, np.int64)
        self.started = False
        goal = task.observation_space["achieved_goal"]
        shape = (task.max_steps + 1, n, *(goal.shape or ()))
        self._trail = np.zeros(shape, goal.dtype) if keep_trail else None
        self._rows = np.arange(n)
        action = task.action_space
        self._discrete = isinstance(action, spaces.Discrete)
        self._action_shape = (n, *(action.shape or ()))
        self._action_bounds = (0, int(action.n)) if isinstance(action, spaces.Discrete) else None

    def restart(self, lanes: Array, generators: Sequence[np.random.Generator]) -> None:
        """Start episodes in the lanes (m,) int, drawn from these m generators."""
        draws = np.stack([self.task.draw(rng) for rng in generators])
        self.task.place(self.state, lanes, draws)
        self.steps[lanes] = 0
        self.started = True

    def advance(self, actions: Any) -> None:
        """Move all lanes by one step.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
            ValueError: actions of another shape or type, or a discrete one out of range.
        """
        if not self.started:
            raise gym.error.ResetNeeded("step was called before reset")
        actions = np.asarray(actions) if self._discrete else np.asarray(actions, np.float32)
        if actions.shape != self._action_shape:
            raise ValueError(f"actions have shape {actions.shape}, expected {self._action_shape}")
        if self._action_bounds is not None:
            low, high = self._action_bounds
            if actions.dtype.kind not in "iu" or actions.min() < low or actions.max() >= high:
                raise ValueError(f"actions must be whole numbers in [{low}, {high}), got {actions}")
        self.task.advance(self.state, actions)
        self.steps += 1

    def observe(self) -> tuple[Observation, Array]:
        """Return the observation of all lanes and which goals are met, (n,) bool."""
        observation = self.task.observe(self.state)
        achieved = observation["achieved_goal"]
        if self._trail is not None:
            self._trail[np.minimum(self.steps, self.task.max_steps), self._rows] = achieved
        return observation, self.task.compute_success(achieved, observation["desired_goal"])

    def picture(self, lane: int) -> Array:
        """Return a picture of one lane, (height, width, 3) uint8."""
        if self._trail is None:
            raise gym.error.Error("render needs an env made with render_mode='rgb_array'")
        if not self.started:
            raise gym.error.ResetNeeded("render was called before reset")
        one = {name: array[lane] for name, array in self.state.items()}
        trail = self._trail[: min(int(self.steps[lane]), self.task.max_steps) + 1, lane]
        goal = self.task.observe(self.state)["desired_goal"][lane]
        success = bool(self.task.compute_success(trail[-1], goal))
        return self.task.picture(View(one, trail, self.task.max_steps, success))

    def get_state(self, generators: Sequence[np.random.Generator]) -> dict[str, Any]:
        """Return copies of everything that changes: arrays, ints, strings, lists and dicts."""
        saved: dict[str, Any] = {
            "started": self.started,
            "steps": self.steps.copy(),
            "state": {name: array.copy() for name, array in self.state.items()},
            "generators": [dict(rng.bit_generator.state) for rng in generators],
        }
        if self._trail is not None:
            saved["trail"] = self._trail.copy()
        return saved

    def set_state(self, saved: Mapping[str, Any]) -> list[np.random.Generator]:
        """Restore what `get_state` returned; return the lanes' generators, made anew.

        Raises:
            ValueError: the state is of another number of lanes or of another task.
        """
        shapes = {name: np.shape(array) for name, array in saved["state"].items()}
        wanted = {name: array.shape for name, array in self.state.items()}
        if shapes != wanted:
            raise ValueError(f"saved state has arrays {shapes}, this env has {wanted}")
        for name, array in self.state.items():
            array[...] = saved["state"][name]
        self.steps[:] = saved["steps"]
        self.started = bool(saved["started"])
        if self._trail is not None:
            # A state saved without pictures has no past to show: its trail starts here.
            self._trail[:] = saved.get("trail", self.task.observe(self.state)["achieved_goal"])
        generators = [np.random.Generator(np.random.PCG64()) for _ in range(self.n)]
        for rng, state in zip(generators, saved["generators"], strict=True):
            rng.bit_generator.state = state
        return generators
