"""An env of highway-env's parking structure: a crash penalty that `compute_reward` lacks, success in info.

Success is a reward above a level that is not the highest, and ends an episode; so does a crash.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.training.rollout import Rollout
from her_exp.types import UserError
from tests.runs.broken_envs import KEYS

LEVEL, PENALTY = 0.5, -5.0


class Lot(gym.Env[Any, Any]):
    """Drive on a line from 0 to a place; |x| > 2 is a wall."""

    def __init__(self) -> None:
        one = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.observation_space = spaces.Dict(dict.fromkeys(KEYS, one))
        self.action_space = spaces.Box(-0.6, 0.6, (1,), np.float32)

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -np.sqrt(np.abs(achieved - desired).sum(-1))

    def _observe(self) -> dict[str, Any]:
        return dict(zip(KEYS, (self.x.copy(), self.x.copy(), self.goal.copy()), strict=True))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.goal = np.zeros(1), self.np_random.uniform(-1.5, 1.5, 1)
        return self._observe(), {"is_success": False}

    def step(self, action: Any) -> Any:
        self.x = self.x + action
        crashed = bool(abs(self.x[0]) > 2)
        by_goal = float(self.compute_reward(self.x, self.goal, {}))
        success = by_goal > -LEVEL
        reward = by_goal + PENALTY * crashed
        return self._observe(), reward, crashed or success, False, {"is_success": success}


gym.register("outside/Lot-v0", Lot, max_episode_steps=30)


def drawn(**settings: Any) -> tuple[HindsightReplayBuffer, Any]:
    """A buffer of random episodes, and one large draw of it."""
    task = GoalTask("outside/Lot-v0", num_envs=4, success_terminates=True, **settings)
    env, functions = task.make(), task.goal_functions()
    buffer = HindsightReplayBuffer(
        4000, strategy="random", spaces=task.spaces, goal_functions=functions, num_envs=4,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    rollout = Rollout(env, functions)
    buffer.begin(rollout.reset(0))
    env.action_space.seed(0)
    for _ in range(900):
        step, _ = rollout.apply(env.action_space.sample())
        buffer.add(step)
    env.close()
    return buffer, buffer.sample(20_000)[0]


def test_reward_and_end_of_relabelled_steps() -> None:
    buffer, batch = drawn(success_reward=-LEVEL)
    achieved, goal = batch.next_observation.numpy(), batch.goal.numpy()
    relabelled = buffer.last.relabelled[0]
    crashed = np.abs(achieved[:, 0]) > 2
    by_goal = -np.sqrt(np.abs(achieved - goal)[:, 0])
    met = by_goal >= -LEVEL
    # Near enough to the level for float32 to decide.
    sure = np.abs(by_goal + LEVEL) > 1e-5
    np.testing.assert_allclose(batch.reward.numpy(), by_goal + PENALTY * crashed, atol=1e-3)
    ended = batch.terminated.numpy() > 0
    np.testing.assert_array_equal(ended[sure], (met | crashed)[sure])
    for what in (relabelled & crashed & ~met, relabelled & met & ~crashed, ~relabelled & crashed):
        assert what.sum() > 50
    # Met within the level, not only where the goal is the very place.
    assert (relabelled & met & (by_goal < -0.2)).sum() > 50
    # Not met under another goal, though the env ended the episode there at success under its own.
    assert (relabelled & ~met & ~crashed).sum() > 50


def test_a_level_that_the_env_contradicts_is_said() -> None:
    line = r"^env\.success_reward: the env says success at a reward"
    for wrong in ({"reward_range": (-20.0, 0.0)}, {"success_reward": -0.1}):
        with pytest.raises(UserError, match=line):
            drawn(**wrong)


def test_what_to_declare_is_said() -> None:
    with pytest.raises(UserError, match=r"env\.reward_range or success_reward be declared"):
        GoalTask("outside/Lot-v0", success_terminates=True).goal_functions()
    with pytest.raises(UserError, match=r"env\.success_reward=inf: must be a finite number"):
        validate(compose(["env=gym", "env.id=outside/Lot-v0", "env.success_reward=inf"]))
