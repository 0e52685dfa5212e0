"""A vector env with a script, for the tests of trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from her_exp.types import GoalFunctions
from her_exp.values import truths
from tests.envs.goal_walk import goal_space


class LaneEnv(VectorEnv[Any, Any, Any]):
    """Lane i plays episodes of `lengths[i]` steps; its goal is met after step t if `success[i][t]`.

    Achieved is (lane, episode, step), asked for (lane, episode, -1). The reward is 1 + step, and 1000 on an
    autoreset step. Odd lanes end by termination, even ones by truncation.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, lengths: Sequence[int], success: Sequence[Sequence[bool]] | None = None):
        self.num_envs = len(lengths)
        self.lengths = np.array(lengths)
        self.script = success or [[False] * (n + 1) for n in lengths]
        box = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.single_observation_space = goal_space(box)
        self.single_action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.seeds: list[int | None] = []
        self.odd: dict[str, Any] = {}  # answers in place of those of a step

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.seeds.append(seed)
        self.episode, self.at = np.zeros(self.num_envs, int), np.zeros(self.num_envs, int)
        self.over = np.zeros(self.num_envs, bool)
        return self._observe()

    def _observe(self) -> tuple[Any, dict[str, Any]]:
        lane = np.arange(self.num_envs)
        now = np.stack([lane, self.episode, self.at], 1).astype(np.float64)
        goal = now.copy()
        goal[:, 2] = -1.0
        met = np.array([self.script[i][self.at[i]] for i in lane])
        observation = {"observation": now, "achieved_goal": now.copy(), "desired_goal": goal}
        return observation, {"is_success": met, "_is_success": np.ones(self.num_envs, bool)}

    def step(self, actions: Any) -> Any:
        again = self.over
        self.episode, self.at = self.episode + again, np.where(again, 0, self.at + 1)
        reward = np.where(again, 1000.0, 1.0 + self.at)
        end = (self.at == self.lengths) & ~again
        odd = np.arange(self.num_envs) % 2 == 1
        self.over = end
        observation, info = self._observe()
        names = ("observation", "reward", "terminated", "truncated", "info")
        answer = (observation, reward, end & odd, end & ~odd, info)
        return tuple((dict(zip(names, answer, strict=True)) | self.odd).values())


class Told(GoalFunctions):
    """Success is taken from the step's info."""

    def success(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> Any:
        return truths("env: info['is_success']", info["is_success"], len(achieved))


TOLD = Told()
