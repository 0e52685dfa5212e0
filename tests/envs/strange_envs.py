"""Goal envs of strangers: each is odd in one way that must not spoil a run in silence."""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from tests.envs.goal_walk import Walk, goal_space


def strange(env: type[gym.Env]) -> type[gym.Env]:
    """Register a class, without Gymnasium's own checker, which warns of some of this."""
    gym.register(f"strange/{env.__name__}-v0", env, max_episode_steps=20, disable_env_checker=True)
    return env


@strange
class Plane(Walk):
    """Walk on a plane to within 0.2 of a place. Subclasses change one thing."""

    observation_space = goal_space(spaces.Box(-10, 10, (2,), np.float32))
    near, stride, edge, dtype = 0.2, 0.2, 1.0, np.float32

    def met(self, achieved, desired):
        return np.linalg.norm(achieved - desired, axis=-1) < self.near

    def compute_terminated(self, achieved, desired, info):
        return np.zeros(np.shape(achieved)[:-1], bool)

    def about(self) -> Any:
        return {"is_success": bool(self.met(self.at, self.goal))}


@strange
class Side(Plane):
    """A threshold is there, and success asks for more."""

    distance_threshold = Plane.near

    def met(self, achieved, desired):
        return super().met(achieved, desired) & (achieved[..., 0] > 0.3)


@strange
class Compass(Plane):
    """Turn to a heading; -3.1 and 3.1 are neighbours."""

    distance_threshold = near = 0.15
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space = goal_space(spaces.Box(-4, 4, (1,), np.float32))
    start = 3.1

    @staticmethod
    def wrap(angle):
        return (angle + np.pi) % (2 * np.pi) - np.pi

    def met(self, achieved, desired):
        return np.abs(self.wrap(achieved - desired))[..., 0] <= self.near

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.wrap(self.np_random.normal(self.start, 0.3, 1)).astype(np.float32)
        self.goal = self.np_random.uniform(-np.pi, np.pi, 1).astype(np.float32)
        return self._observe(), self.about()

    def move(self, action):
        return self.wrap(self.at + 0.4 * action)


@strange
class Chase(Plane):
    """Touch target after target. The next one is shown with the touch, or (`late`) a step after it."""

    observation_space = goal_space(spaces.Box(-2, 2, (1,), np.float32))
    action_space = spaces.Box(-0.4, 0.4, (1,), np.float32)
    near, stride, touches = 0.25, 1.0, 0

    def __init__(self, late=False, asks=True, cost=0.0, effort=0.0) -> None:
        self.late, self.cost, self.effort = late, cost, effort
        if asks:
            self.compute_success = lambda achieved, desired: self.met(achieved, desired)

    def new_goal(self):
        while True:
            self.goal = self.np_random.uniform(-1, 1, 1).astype(np.float32)
            if abs(self.goal - self.at)[0] > 0.5:
                return

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = np.zeros(1, np.float32)
        self.new_goal()
        return self._observe(), {}

    def step(self, action):
        shown, reward, *ends, info = super().step(action)
        reward -= self.cost + self.effort * float((action**2).sum())
        if info["is_success"]:
            Chase.touches += 1
            self.new_goal()
        return shown if self.late else self._observe(), reward, *ends, info


def seeker(observation: Any, goal: Any) -> Any:
    """A policy that walks to the goal of `Chase`."""
    return np.clip(goal - observation, -0.4, 0.4).astype(np.float32)


@strange
class Tells(Plane):
    """Info, ends and rewards of every kind."""

    def __init__(self, **kinds: str) -> None:
        self.kinds, self.count = kinds, 0

    def about(self):
        told = super().about()
        self.count += 1
        met = np.array([told["is_success"]] * 3)
        odd = {
            "array": met, "share": 0.33, "dict": {"a": True}, "list": met.tolist(), "none": None,
            "text": "False", "one": met[:1], "number": float(met[0]), "two": 2,
        }  # fmt: skip
        if "success" in self.kinds:
            told["is_success"] = odd[self.kinds["success"]]
        n = 1 + self.count % 3
        more = {
            "shape": np.zeros((n, 2)), "type": [1, 0.5, True][n - 1], "none": [None, 3.0, 1][n - 1],
            "objects": self, "function": lambda: None, "set": {1, 2}, "text": "x" * n,
            "nested": {"a": {"b": {"c": [1, 2]}, 3: "x"}, "": None, "final_info": {"z": 1}},
            "ragged": [[1], [2, 3]],
        }  # fmt: skip
        whole = {"keys": {0: 1.0, ("a", 1): 2}, "under": {"_is_success": 1, "final_obs": 3}}
        kind = self.kinds.get("info")
        if kind == "nothing":
            return None
        return told | ({"path": more[kind]} if kind in more else whole.get(kind, {}))

    def step(self, action):
        names = ("observation", "reward", "terminated", "truncated", "info")
        answer = dict(zip(names, super().step(action), strict=True))
        odd = {
            "none": None, "yes": "yes", "many": [False, True], "two": 2, "text": "-1",
            "complex": 1j, "one": np.float32(-1), "zero": np.array(0),
            "column": -np.ones(1), "vector": np.array([-1, 0.5]),
        }  # fmt: skip
        return tuple(
            (answer | {k: odd[v] for k, v in self.kinds.items() if k in names[1:4]}).values()
        )


@strange
class Differs(Plane):
    """Each instance has limits of its own."""

    def __init__(self, what: str = "action") -> None:
        limit = float(np.random.default_rng().uniform(5, 9))
        box = spaces.Box(-limit, limit, (2,), np.float32)
        if what == "action":
            self.action_space = box
        else:
            self.observation_space = goal_space(
                self.observation_space["observation"], **{what: box}
            )


class Bare(BaseException):
    pass


class Dumb(Exception):
    def __str__(self) -> str:
        raise ValueError("cannot even say it")


@strange
class Leaves(Plane):
    """Ends the program, or tries to, at step `at` of its life; its words may be long and odd."""

    def __init__(self, how: str = "exit", where: str = "step", at: int = 65) -> None:
        self.how, self.where, self.at_step, self.count = how, where, at, 0
        if where == "init":
            self.leave()

    def leave(self) -> None:
        words = "x" * 3_000_000 + "\udcff\x1b[2J" + os.linesep
        if self.how == "exit":
            sys.exit(0)
        raise {"bare": Bare("gone"), "dumb": Dumb(), "words": ValueError(words)}[self.how]

    def step(self, action):
        self.count += 1
        if self.where == "step" and self.count >= self.at_step:
            self.leave()
        return super().step(action)

    def compute_reward(self, achieved, desired, info):
        if self.where == "reward" and self.count >= 5:
            self.leave()
        return super().compute_reward(achieved, desired, info)
