"""Goal envs of strangers: each is odd in one way that must not spoil a run in silence."""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

KEYS = ("observation", "achieved_goal", "desired_goal")


def goal_space(box: spaces.Space[Any]) -> spaces.Dict:
    return spaces.Dict(dict.fromkeys(KEYS, box))


class Plane(gym.Env):
    """Walk on a plane to within 0.2 of a place. Subclasses change one thing."""

    near = 0.2

    def __init__(self) -> None:
        self.observation_space = goal_space(spaces.Box(-10, 10, (2,), np.float32))
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)

    def met(self, achieved, desired):
        return np.linalg.norm(achieved - desired, axis=-1) < self.near

    def compute_reward(self, achieved, desired, info):
        return np.where(self.met(achieved, desired), 0.0, -1.0)

    def compute_terminated(self, achieved, desired, info):
        return np.zeros(np.shape(achieved)[:-1], bool)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        return self.observe(), self.about()

    def step(self, action):
        self.at = np.clip(self.at + 0.2 * action, -1, 1).astype(np.float32)
        reward = float(self.compute_reward(self.at.copy(), self.goal.copy(), {}))
        return self.observe(), reward, False, False, self.about()

    def about(self) -> Any:
        return {"is_success": bool(self.met(self.at, self.goal))}

    def observe(self):
        return dict(zip(KEYS, (self.at.copy(), self.at.copy(), self.goal.copy()), strict=True))


class Writes(Plane):
    """All that is handed in is worked in: goals, the action, the arrays given before."""

    def compute_reward(self, achieved, desired, info):
        achieved -= desired
        desired *= 0
        return np.where(np.linalg.norm(achieved, axis=-1) < self.near, 0.0, -1.0)

    def compute_success(self, achieved, desired):
        achieved -= desired
        return np.linalg.norm(achieved, axis=-1) < self.near

    def compute_terminated(self, achieved, desired, info):
        desired += 7
        return np.zeros(np.shape(achieved)[:-1], bool)

    def step(self, action):
        answer = super().step(action)
        action *= 0
        return answer


class Side(Plane):
    """A threshold is there, and success asks for more."""

    distance_threshold = 0.2

    def __init__(self, where: str = "achieved") -> None:
        super().__init__()
        self.where = where

    def met(self, achieved, desired):
        near = np.linalg.norm(achieved - desired, axis=-1) <= self.near
        right = {"achieved": achieved[..., 0] > 0.3, "desired": desired[..., 1] < 0.1}
        right["far"] = np.abs(achieved).max(-1) < 0.95  # seldom anything else, by chance never
        right["never"] = np.zeros(np.shape(near), bool)
        return near & right[self.where]


class Compass(Plane):
    """Turn to a heading; -3.1 and 3.1 are neighbours."""

    distance_threshold = near = 0.15

    def __init__(self, start: float = 3.1, wide: bool = True) -> None:
        super().__init__()
        limit = 4.0 if wide else np.inf
        self.observation_space = goal_space(spaces.Box(-limit, limit, (1,), np.float32))
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.start = start

    @staticmethod
    def wrap(angle):
        return (angle + np.pi) % (2 * np.pi) - np.pi

    def met(self, achieved, desired):
        return np.abs(self.wrap(achieved - desired))[..., 0] <= self.near

    def reset(self, *, seed=None, options=None):
        gym.Env.reset(self, seed=seed)
        self.at = self.wrap(self.np_random.normal(self.start, 0.3, 1)).astype(np.float32)
        self.goal = self.np_random.uniform(-np.pi, np.pi, 1).astype(np.float32)
        return self.observe(), self.about()

    def step(self, action):
        self.at = self.wrap(self.at + 0.4 * action).astype(np.float32)
        reward = float(self.compute_reward(self.at, self.goal, {}))
        return self.observe(), reward, False, False, self.about()


class Tolerance(Plane):
    """A tolerance a coordinate, or none; no number."""

    def __init__(self, kind: str = "array") -> None:
        super().__init__()
        self.tolerance = np.array([0.1, 0.3])
        self.distance_threshold = {
            "array": self.tolerance, "dict": {"x": 0.1}, "list": [0.1, 0.3], "none": None,
            "text": "0.2", "nan": np.nan, "true": True, "negative": -0.2,
        }[kind]  # fmt: skip

    def met(self, achieved, desired):
        return (np.abs(achieved - desired) < self.tolerance).all(-1)


class Chase(gym.Env):
    """Touch target after target. The next one is shown with the touch, or (`late`) a step after it."""

    touches = 0

    def __init__(self, late=False, asks=True, cost=0.0, effort=0.0) -> None:
        self.observation_space = goal_space(spaces.Box(-2, 2, (1,), np.float32))
        self.action_space = spaces.Box(-0.4, 0.4, (1,), np.float32)
        self.late, self.cost, self.effort = late, cost, effort
        if asks:
            self.compute_success = lambda achieved, desired: self.met(achieved, desired)

    def met(self, achieved, desired):
        return np.abs(achieved - desired)[..., 0] < 0.25

    def compute_reward(self, achieved, desired, info):
        return np.where(self.met(achieved, desired), 0.0, -1.0)

    compute_terminated = Plane.compute_terminated

    def new_goal(self):
        while True:
            self.goal = self.np_random.uniform(-1, 1, 1).astype(np.float32)
            if abs(self.goal - self.at)[0] > 0.5:
                return

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = np.zeros(1, np.float32)
        self.new_goal()
        return self.observe(), {}

    def step(self, action):
        self.at = np.clip(self.at + action, -1, 1).astype(np.float32)
        met = bool(self.met(self.at, self.goal))
        reward = float(self.compute_reward(self.at, self.goal, {})) - self.cost
        reward -= self.effort * float((action**2).sum())
        shown = self.observe()
        if met:
            Chase.touches += 1
            self.new_goal()
        return shown if self.late else self.observe(), reward, False, False, {"is_success": met}

    def observe(self):
        return dict(zip(KEYS, (self.at.copy(), self.at.copy(), self.goal.copy()), strict=True))


def seeker(observation: Any, goal: Any) -> Any:
    """A policy that walks to the goal of `Chase`."""
    return np.clip(goal - observation, -0.4, 0.4).astype(np.float32)


class Tells(Plane):
    """Info, ends and rewards of every kind."""

    def __init__(self, **kinds: str) -> None:
        super().__init__()
        self.kinds, self.count = kinds, 0

    def about(self):
        told = super().about()
        self.count = getattr(self, "count", 0) + 1
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
        if "info" in self.kinds:
            kind = self.kinds["info"]
            told |= {"path": more[kind]} if kind in more else {}
            told |= {0: 1.0, ("a", 1): 2} if kind == "keys" else {}
            told |= {"_is_success": 1, "final_obs": 3} if kind == "under" else {}
        return None if self.kinds.get("info") == "nothing" else told

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        odd = {
            "none": None, "yes": "yes", "many": [False, True], "two": 2, "text": "-1",
            "complex": 1j, "one": np.float32(-1), "zero": np.array(0),
            "column": -np.ones(1), "vector": np.array([-1, 0.5]),
        }  # fmt: skip
        reward = odd[self.kinds["reward"]] if "reward" in self.kinds else reward
        terminated = odd[self.kinds["terminated"]] if "terminated" in self.kinds else terminated
        truncated = odd[self.kinds["truncated"]] if "truncated" in self.kinds else truncated
        return observation, reward, terminated, truncated, info


class Weighs(Plane):  # one of its functions answers with several values a goal
    def __init__(self, which: str = "compute_reward") -> None:
        super().__init__()
        many = lambda a, d, info: np.stack([self.met(a, d) - 1.0, a[..., 0]], -1)  # noqa: E731
        setattr(self, which, many)

    def step(self, action):
        self.at = np.clip(self.at + 0.2 * action, -1, 1).astype(np.float32)
        return self.observe(), -1.0, False, False, {}


class Differs(Plane):
    """Each instance has limits of its own."""

    def __init__(self, what: str = "action") -> None:
        super().__init__()
        limit = float(np.random.default_rng().uniform(5, 9))
        box = spaces.Box(-limit, limit, (2,), np.float32)
        if what == "action":
            self.action_space = box
        else:
            self.observation_space = spaces.Dict({**self.observation_space.spaces, what: box})


class Leaves(Plane):
    """Ends the program, or tries to, at step `at` of its life; its words may be long and odd."""

    def __init__(self, how: str = "exit", where: str = "step", at: int = 65) -> None:
        super().__init__()
        self.how, self.where, self.at_step, self.count = how, where, at, 0
        if where == "init":
            self.leave()

    def leave(self) -> None:
        class Bare(BaseException):
            pass

        class Dumb(Exception):
            def __str__(self) -> str:
                raise ValueError("cannot even say it")

        if self.how == "exit":
            sys.exit(0)
        if self.how == "words":
            raise ValueError("x" * 3_000_000 + "\udcff\x1b[2J" + os.linesep)
        raise {"bare": Bare("gone"), "dumb": Dumb()}[self.how]

    def step(self, action):
        self.count += 1
        if self.where == "step" and self.count >= self.at_step:
            self.leave()
        return super().step(action)

    def compute_reward(self, achieved, desired, info):
        if self.where == "reward" and getattr(self, "count", 0) >= 5:
            self.leave()
        return super().compute_reward(achieved, desired, info)


for _name, _class in {
    "Plane": Plane, "Writes": Writes, "Side": Side, "Compass": Compass, "Tolerance": Tolerance,
    "Chase": Chase, "Tells": Tells, "Weighs": Weighs, "Differs": Differs, "Leaves": Leaves,
}.items():  # fmt: skip
    # Without Gymnasium's own checker, which warns of some of this, and stops at little of it.
    gym.register(f"strange/{_name}-v0", _class, max_episode_steps=20, disable_env_checker=True)
