"""A toy task of FetchPush's shapes, and buffers filled with its steps: ours and the peer's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.types import GoalSpaces, Step

Floats = NDArray[np.floating[Any]]

EPISODE = 50  #: steps of an episode
LANES = 8  #: parallel envs whose steps fill the buffers
THRESHOLD = 0.05  #: distance within which a goal is met
ACHIEVED = slice(3, 6)  #: columns of the observation that repeat the achieved goal
K = 4  #: relabelled steps for each one kept
REWARDS = (-1.0, 0.0)


class ToyPush(gym.Env[dict[str, Floats], Floats]):
    """A goal env of FetchPush's shapes and sparse reward: a point walks, the rest is noise.

    Args:
        dtype: of observations and goals.
    """

    distance_threshold = THRESHOLD

    def __init__(self, dtype: type[np.floating[Any]] = np.float32):
        def box(width: int) -> spaces.Box:
            return spaces.Box(-np.inf, np.inf, (width,), dtype)

        self.observation_space = spaces.Dict(
            {"observation": box(25), "achieved_goal": box(3), "desired_goal": box(3)}
        )
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self._dtype, self._steps = dtype, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats], dict[str, Any]]:
        """Begin at a random place."""
        super().reset(seed=seed)
        self._steps = 0
        self._place = self.np_random.normal(0.0, 0.1, 3)
        self._goal = self.np_random.normal(0.0, 0.15, 3).astype(self._dtype)
        return self._observe(), {}

    def step(self, action: Floats) -> tuple[dict[str, Floats], float, bool, bool, dict[str, Any]]:
        """Move by the first three actions."""
        self._place = self._place + 0.03 * np.asarray(action)[:3]
        self._steps += 1
        observation = self._observe()
        reward = self.compute_reward(observation["achieved_goal"], self._goal, {})
        return observation, float(reward), False, self._steps >= EPISODE, {}

    def compute_reward(self, achieved: Floats, desired: Floats, info: Any) -> Floats:
        """Return 0 within the threshold and -1 elsewhere, for goals (..., 3)."""
        gap = np.linalg.norm(achieved - desired, axis=-1)
        return np.asarray(-(gap > self.distance_threshold).astype(np.float32))

    def compute_terminated(self, achieved: Floats, desired: Floats, info: Any) -> bool:
        """No goal ends an episode."""
        return False

    def _observe(self) -> dict[str, Floats]:
        observation = self.np_random.normal(size=25)
        observation[ACHIEVED] = self._place
        return {
            "observation": observation.astype(self._dtype),
            "achieved_goal": self._place.astype(self._dtype),
            "desired_goal": self._goal,
        }


class Episodes(NamedTuple):
    """An episode of all lanes, time first."""

    observation: Floats  #: (T + 1, lanes, 25)
    achieved: Floats  #: (T + 1, lanes, 3)
    desired: Floats  #: (lanes, 3)
    action: Floats  #: (T, lanes, 4)
    reward: Floats  #: (T, lanes)


def random_walks(count: int, dtype: type[np.floating[Any]] = np.float32) -> list[Episodes]:
    """Return `count` times an episode in each lane, as `ToyPush` would give under random actions."""
    generator, env, walks = np.random.default_rng(0), ToyPush(dtype), []
    for _ in range(count):
        action = generator.uniform(-1, 1, (EPISODE, LANES, 4)).astype(np.float32)
        start = generator.normal(0.0, 0.1, (1, LANES, 3))
        path = start + np.concatenate([np.zeros_like(start), np.cumsum(0.03 * action[..., :3], 0)])
        observation = generator.standard_normal((EPISODE + 1, LANES, 25), np.float32).astype(dtype)
        achieved = path.astype(dtype)
        observation[..., ACHIEVED] = achieved
        desired = generator.normal(0.0, 0.15, (LANES, 3)).astype(dtype)
        reward = env.compute_reward(achieved[1:], desired, {})
        walks.append(Episodes(observation, achieved, desired, action, reward))
    return walks


def her_exp_buffer(
    transitions: int,
    walks: Sequence[Episodes],
    dtype: type[np.floating[Any]] = np.float32,
    **settings: Any,
) -> HindsightReplayBuffer:
    """Return our buffer, filled with `transitions` steps of `walks`, over and over."""
    env = ToyPush(dtype)
    space = env.observation_space.spaces
    episodes = transitions // (EPISODE * LANES)
    buffer = HindsightReplayBuffer(
        capacity=episodes * (EPISODE + 1) * LANES,  # the last state of an episode takes a row
        k=K,
        spaces=GoalSpaces(space["observation"], space["desired_goal"], env.action_space),
        goal_functions=EnvGoalFunctions(env, reward_range=REWARDS),
        num_envs=LANES,
        generator=np.random.default_rng(1),
        reward_range=REWARDS,
        **settings,
    )
    no, yes = np.zeros(LANES, bool), np.ones(LANES, bool)
    for number in range(episodes):
        walk = walks[number % len(walks)]
        states = [
            {"observation": o, "achieved_goal": a, "desired_goal": walk.desired}
            for o, a in zip(walk.observation, walk.achieved, strict=True)
        ]
        buffer.begin(states[0])
        for t in range(EPISODE):
            step = Step(
                observation=states[t],
                action=walk.action[t],
                reward=walk.reward[t],
                terminated=no,
                truncated=yes if t == EPISODE - 1 else no,
                next_observation=states[t + 1],
                valid=yes,
                info={},
                success=no,
            )
            buffer.add(step)
    return buffer


def fill_sb3(buffer: Any, walks: Sequence[Episodes]) -> Any:
    """Fill a HerReplayBuffer of stable-baselines3 to the brim with `walks`, over and over."""
    no, yes = np.zeros(LANES, bool), np.ones(LANES, bool)
    infos = ([{}] * LANES, [{"TimeLimit.truncated": True}] * LANES)
    for number in range(buffer.buffer_size // EPISODE):
        walk = walks[number % len(walks)]
        states = [
            {"observation": o, "achieved_goal": a, "desired_goal": walk.desired}
            for o, a in zip(walk.observation, walk.achieved, strict=True)
        ]
        for t in range(EPISODE):
            last = t == EPISODE - 1
            buffer.add(
                states[t], states[t + 1], walk.action[t], walk.reward[t],
                yes if last else no, infos[last],
            )  # fmt: skip
    return buffer
