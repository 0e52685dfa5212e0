"""Plays strange envs into a buffer, as a run does."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.envs.make import GoalTask
from her_exp.training.rollout import Episode, Rollout
from her_exp.types import Batch
from tests.envs import strange_envs  # noqa: F401  (registers)


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
