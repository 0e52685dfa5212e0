"""A goal env that goes wrong on demand, for the tests of a run's health."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

KEYS = ("observation", "achieved_goal", "desired_goal")
GIVEN = {
    "reward:nan": np.nan, "reward:none": None, "reward:many": np.zeros(2),
    "shape": np.zeros((1, 1), np.float32), "dtype": np.array(["a"]),
    "nan": np.full(1, np.nan, np.float32), "inf": np.full(1, np.inf, np.float32),
}  # fmt: skip


class OfItsOwn(Exception):
    """Cannot be pickled."""


class Line(gym.Env):
    """Stand on a point of a line. At step `at` of its life, in all lanes, it does what `fault` says.

    The file `healed` in the present folder makes it whole; `faulty` is made when the fault begins.
    Episodes end after `ends` steps, which nobody is told.
    """

    alive: ClassVar[list[gym.Env]] = []

    def __init__(self, fault="none", at=31, pause=0.0, ends=10**9):
        one = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Dict(dict.fromkeys(KEYS, one))
        self.action_space = spaces.Box(-0.2, 0.2, (1,), np.float32)
        self.fault, self.at, self.pause, self.ends, self.count = fault, at, pause, ends, 0
        if fault == "no_lanes" and multiprocessing.parent_process() is not None:
            raise ValueError("no more of me")
        self.alive.append(self)

    def close(self):
        if self in self.alive:
            self.alive.remove(self)

    def compute_reward(self, achieved, desired, info):
        return np.where(np.abs(achieved - desired)[..., 0] < 0.05, 0.0, -1.0)

    def compute_terminated(self, achieved, desired, info):
        return np.zeros(np.shape(achieved)[:-1], bool)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.goal = self.np_random.uniform(-1, 1, (2, 1)).astype(np.float32)
        self.left = self.ends
        if self.fault == "hang_reset" and self.count >= self.at and not Path("healed").exists():
            hang()
        return self.observe(), {}

    def step(self, action):
        self.count += 1
        self.left -= 1
        time.sleep(self.pause)
        self.x = np.clip(self.x + action, -1, 1).astype(np.float32)
        observation = self.observe()
        reward = float(self.compute_reward(self.x, self.goal, {}))
        if self.count == self.at and not Path("healed").exists():
            observation, reward = self.go_wrong(observation, reward)
        return observation, reward, False, self.left == 0, {}

    def go_wrong(self, observation, reward):
        kind, _, key = self.fault.partition(":")
        if kind == "raise":
            raise ValueError("lost the %s thread")  # a sign that printf would choke on
        if kind == "odd_raise":
            raise OfItsOwn(lambda: None)
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            hang()
        if kind == "reward":
            reward = GIVEN[self.fault]
        elif kind in GIVEN:
            observation[key] = GIVEN[kind]
        if kind == "lacks":
            del observation[key]
        return observation, reward

    def observe(self):
        return dict(zip(KEYS, (self.x.copy(), self.x.copy(), self.goal.copy()), strict=True))


def hang():
    """Do nothing for ever, and do not listen."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path("faulty").touch()
    while True:
        time.sleep(0.05)


gym.register("broken/Line-v0", Line, max_episode_steps=10)
gym.register("broken/Untold-v0", Line)
