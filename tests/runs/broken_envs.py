"""A goal env that goes wrong on demand, for the tests of a run's health."""

from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path
from typing import ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from tests.envs.goal_walk import Walk, goal_space

GIVEN = {
    "nan": np.full(1, np.nan, np.float32),
    "shape": np.zeros((1, 1), np.float32),
    "dtype": np.array(["a"]),
}


class OfItsOwn(Exception):
    """Cannot be pickled."""


class Line(Walk):
    """Stand on a point of a line. At step `at` of its life, in all lanes, it does what `fault` says.

    The file `healed` in the present folder makes it whole; `faulty` is made when the fault begins.
    Episodes end after `ends` steps, which nobody is told.
    """

    alive: ClassVar[list[gym.Env]] = []
    observation_space = goal_space(spaces.Box(-1.0, 1.0, (1,), np.float32))
    action_space = spaces.Box(-0.2, 0.2, (1,), np.float32)
    radius, edge, dtype = 0.05, 1.0, np.float32

    def __init__(self, fault="none", at=31, pause=0.0, ends=10**9):
        self.fault, self.wrong_at, self.pause, self.ends, self.count = fault, at, pause, ends, 0
        if fault == "no_lanes" and multiprocessing.parent_process() is not None:
            raise ValueError("no more of me")
        self.alive.append(self)

    def close(self):
        if self in self.alive:
            self.alive.remove(self)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal, self.left = self.at[:1], self.goal[:1], self.ends
        hangs = self.fault == "hang_reset" and self.count >= self.wrong_at
        if hangs and not Path("healed").exists():
            hang()
        return self._observe(), {}

    def step(self, action):
        self.count += 1
        self.left -= 1
        time.sleep(self.pause)
        observation, reward, *_ = super().step(action)
        if self.count == self.wrong_at and not Path("healed").exists():
            observation, reward = self.go_wrong(observation, reward)
        return observation, reward, False, self.left == 0, {}

    def go_wrong(self, observation, reward):
        kind, _, key = self.fault.partition(":")
        if kind == "raise":
            raise ValueError("lost the %s thread")  # a sign that printf would choke on
        if kind == "odd_raise":
            raise OfItsOwn(lambda: None)
        if kind == "hang":
            hang()
        if kind == "reward":
            reward = np.nan
        elif kind in GIVEN:
            observation[key] = GIVEN[kind]
        if kind == "lacks":
            del observation[key]
        return observation, reward


def hang():
    """Do nothing for ever, and do not listen."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path("faulty").touch()
    while True:
        time.sleep(0.05)


gym.register("broken/Line-v0", Line, max_episode_steps=10)
gym.register("broken/Untold-v0", Line)
