"""Two goal envs of somebody else's: written for `test_learning.py`, never used to tune anything."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from tests.envs.goal_walk import KEYS, goal_space


class Conveyor(gym.Env):
    """Move a box on two belts until it lies just beyond the mark; that ends the episode.

    float64 observations; an action Box that is neither symmetric nor unit; a reward that is not
    batched, is not symmetric in achieved and desired, and reads how much slack this episode has from
    `info`.
    """

    def __init__(self) -> None:
        goal = spaces.Box(0.0, 10.0, (2,), np.float64)
        seen = spaces.Box(-1.0, 10.0, (3,), np.float64)
        self.observation_space = goal_space(goal, observation=seen)
        self.action_space = spaces.Box(np.float32([0.0, -3.0]), np.float32([2.0, 1.0]))

    def compute_reward(self, achieved, desired, info):
        beyond = achieved - desired
        slack = float(info["slack"])
        if float(beyond[0]) < -0.1 * slack or float(beyond[1]) < -0.1 * slack:
            return -1.0
        return 0.0 if float(max(beyond)) <= 0.5 * slack else -1.0

    def compute_terminated(self, achieved, desired, info):
        return self.compute_reward(achieved, desired, info) == 0.0

    def _observation(self):
        seen = np.append(self._at, self._slack), self._at.copy(), self._mark.copy()
        return dict(zip(KEYS, seen, strict=True))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._at = self.np_random.uniform(0.0, 10.0, 2)
        self._mark = self.np_random.uniform(1.0, 9.0, 2)
        self._slack = self.np_random.uniform(0.8, 1.2)
        return self._observation(), {"slack": self._slack}

    def step(self, action):
        speed = (np.asarray(action, np.float64) - [0.7, -1.5]) * [0.6, 0.3]
        self._at = np.clip(self._at + speed, 0.0, 10.0)
        info = {"slack": self._slack}
        reward = self.compute_reward(self._at, self._mark, info)
        return self._observation(), reward, reward == 0.0, False, info


class Dials(gym.Env):
    """Turn four dials of ten positions to a code, one click a step; reward 1 while the code shows.

    Integer goals, Discrete actions, 0/1 rewards, never terminates: the code must show at the end.
    """

    def __init__(self) -> None:
        dials = spaces.Box(0, 9, (4,), np.int64)
        self.observation_space = goal_space(dials)
        self.action_space = spaces.Discrete(9)

    def compute_reward(self, achieved, desired, info):
        return (achieved == desired).all(-1).astype(np.float64)

    def compute_terminated(self, achieved, desired, info):
        return False

    def _observation(self):
        seen = self._dials.copy(), self._dials.copy(), self._code
        return dict(zip(KEYS, seen, strict=True))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._dials = self.np_random.integers(0, 10, 4)
        self._code = self.np_random.integers(0, 10, 4)
        return self._observation(), {}

    def step(self, action):
        if action < 8:  # the last action does nothing
            dial, up = divmod(int(action), 2)
            self._dials[dial] = np.clip(self._dials[dial] + (1 if up else -1), 0, 9)
        reward = float(self.compute_reward(self._dials, self._code, {}))
        return self._observation(), reward, False, False, {}


gym.register("outside/Conveyor-v0", Conveyor, max_episode_steps=40)
gym.register("outside/Dials-v0", Dials, max_episode_steps=40)
