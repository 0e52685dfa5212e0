"""A goal env that goes wrong on demand, for the tests of a run's health."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces

KEYS = ("observation", "achieved_goal", "desired_goal")


class Line(gym.Env):
    """Stand on a point of a line. At step `at` of its life, in all lanes, it does what `fault` says.

    The file `healed` in the present folder makes it whole; `faulty` is made when the fault begins.
    """

    def __init__(self, fault: str = "none", at: int = 31, pause: float = 0.0):
        one = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Dict(dict.fromkeys(KEYS, one))
        self.action_space = spaces.Box(-0.2, 0.2, (1,), np.float32)
        self.fault, self.at, self.pause, self.count = fault, at, pause, 0
        if fault == "no_lanes" and multiprocessing.parent_process() is not None:
            raise ValueError("no more of me")

    def compute_reward(self, achieved, desired, info):
        return np.where(np.abs(achieved - desired)[..., 0] < 0.05, 0.0, -1.0)

    def compute_terminated(self, achieved, desired, info):
        return np.zeros(np.shape(achieved)[:-1], bool)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.goal = self.np_random.uniform(-1, 1, (2, 1)).astype(np.float32)
        if self.fault == "hang_reset" and self.count >= self.at and not Path("healed").exists():
            hang()
        return self.observe(), {}

    def step(self, action):
        self.count += 1
        time.sleep(self.pause)
        self.x = np.clip(self.x + action, -1, 1).astype(np.float32)
        observation = self.observe()
        reward = float(self.compute_reward(self.x, self.goal, {}))
        if self.count == self.at and not Path("healed").exists():
            observation, reward = self.go_wrong(observation, reward)
        return observation, reward, False, False, {}

    def go_wrong(self, observation, reward):
        kind, _, key = self.fault.partition(":")
        if kind == "raise":
            raise ValueError("lost the %s thread")  # a sign that printf would choke on
        if kind == "odd_raise":

            class OfItsOwn(Exception):
                """Cannot be pickled."""

            raise OfItsOwn(lambda: None)
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            hang()
        if kind == "reward":
            reward = {"nan": np.nan, "none": None, "many": np.zeros(2)}[key]
        if kind in ("nan", "inf"):
            observation[key] = np.full(1, float(kind), np.float32)
        if kind == "shape":
            observation[key] = np.zeros((1, 1), np.float32)
        if kind == "dtype":
            observation[key] = np.array(["a"])
        if kind == "lacks":
            del observation[key]
        return observation, reward

    def observe(self):
        return {
            "observation": self.x.copy(),
            "achieved_goal": self.x.copy(),
            "desired_goal": self.goal.copy(),
        }


def hang():
    """Do nothing for ever, and do not listen."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path("faulty").touch()
    while True:
        time.sleep(0.05)


gym.register("broken/Line-v0", Line, max_episode_steps=10)
