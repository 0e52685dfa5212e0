"""Goal envs of strangers, each odd in one way that must not spoil a run in silence; played into a buffer."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.envs.make import GoalTask
from her_exp.training.rollout import Episode, Rollout
from her_exp.types import Batch
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


class Played(NamedTuple):
    """What came of some steps with random actions, or with a policy's."""

    buffer: HindsightReplayBuffer
    functions: EnvGoalFunctions
    episodes: list[Episode]
    states: list[np.ndarray]  #: achieved goals (lanes, g) that the env showed, step by step

    def draw(self, n: int = 4000) -> Batch:
        (batch,) = self.buffer.sample(n)
        return batch


def own_rewards(env: Any, batch: Batch) -> np.ndarray:
    """Ask a fresh env, goal by goal."""
    pairs = zip(batch.next_observation.numpy(), batch.goal.numpy(), strict=True)
    return np.array([float(env.compute_reward(a.copy(), d.copy(), {})) for a, d in pairs])


def play(
    name: str, steps: int = 100, lanes: int = 3, policy: Any = None, k: float = 4,
    strategy: Any = "future", **kwargs: Any,
) -> Played:  # fmt: skip
    """Step `strange/<name>-v0` and store it; settings of the task and of the env as keywords."""
    settings = {"backend": "sync", "reward_range": None} | kwargs
    task = GoalTask(f"strange/{name}-v0", num_envs=lanes, **settings)
    functions, env = task.goal_functions(), task.make()
    generator = np.random.default_rng(0)
    buffer = HindsightReplayBuffer(
        steps * lanes + 9 * lanes, spaces=task.spaces, goal_functions=functions, num_envs=lanes,
        generator=generator, k=k, strategy=strategy, reward_range=task.reward_range,
    )  # fmt: skip
    rollout = Rollout(env, functions)
    buffer.begin(rollout.reset(0))
    space, states, episodes = task.spaces.action, [rollout.observation["achieved_goal"]], []
    for _ in range(steps):
        actions = np.stack([generator.uniform(space.low, space.high) for _ in range(lanes)])
        if policy is not None:
            actions = policy(*rollout.inputs())
        step, ended = rollout.apply(actions.astype(np.float32))
        buffer.add(step)
        states.append(step.next_observation["achieved_goal"])
        episodes += ended
    env.close()
    return Played(buffer, functions, episodes, states)
