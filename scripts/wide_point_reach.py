"""PointReach as wide as FetchPush; importing this registers `bench/WidePointReach-v0`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from her_exp.envs.tasks.point_reach import PointReach
from her_exp.envs.vector.shells import SingleGoalEnv, VectorGoalEnv
from her_exp.envs.vector.task import State
from her_exp.types import Observation

WIDTH = 25  #: values of FetchPush's observation


class WidePointReach(PointReach):
    """PointReach whose observation ends in zeros: (25,) float32."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        narrow = self.observation_space["observation"]
        most = np.ones(WIDTH, np.float32)
        most[: narrow.shape[0]] = narrow.high
        self.observation_space["observation"] = spaces.Box(-most, most, dtype=np.float32)

    def observe(self, state: State) -> Observation:
        """Return the observation with its zeros, the position and the goal."""
        observed = super().observe(state)
        narrow = observed["observation"]
        wide = np.zeros((len(narrow), WIDTH), np.float32)
        wide[:, : narrow.shape[1]] = narrow
        return {**observed, "observation": wide}


class WidePointReachEnv(SingleGoalEnv):
    """The single env."""

    task_class = WidePointReach


class WidePointReachVectorEnv(VectorGoalEnv):
    """The vector env."""

    task_class = WidePointReach


if "bench/WidePointReach-v0" not in gym.registry:
    gym.register(
        "bench/WidePointReach-v0",
        entry_point="wide_point_reach:WidePointReachEnv",
        vector_entry_point="wide_point_reach:WidePointReachVectorEnv",
    )
