"""Small Minari sets, made of the steps of one lane."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from her_exp.envs.make import GoalTask
from her_exp.training.rollout import Rollout
from her_exp.types import KEYS, Step


def episodes_of(next_step: Callable[[], Step], count: int) -> list[list[Step]]:
    """The steps of one lane's next episodes, without those with which it resets itself."""
    episodes: list[list[Step]] = [[]]
    while len(episodes) <= count:
        step = next_step()
        if step.valid[0]:
            episodes[-1].append(step)
            if step.terminated[0] or step.truncated[0]:
                episodes.append([])
    return episodes[:-1]


def write_set(folder: Path, episodes: list[list[Step]], env_id: str | None = None) -> Path:
    """Write episodes as Minari does, every info field of theirs included."""
    (folder / "data").mkdir(parents=True)
    spec = {"env_spec": json.dumps({"id": env_id})} if env_id else {}
    (folder / "data/metadata.json").write_text(json.dumps({"data_format": "hdf5", **spec}))
    with h5py.File(folder / "data/main_data.hdf5", "w") as file:
        for number, steps in enumerate(episodes):
            states = [steps[0].observation, *(step.next_observation for step in steps)]
            parts: dict[str, Any] = {
                f"observations/{key}": [state[key][0] for state in states] for key in KEYS
            }
            parts |= {"actions": [step.action[0] for step in steps]}
            parts |= {"rewards": [step.reward[0] for step in steps]}
            parts |= {"terminations": [step.terminated[0] for step in steps]}
            parts |= {"truncations": [step.truncated[0] for step in steps]}
            for key in steps[0].info:
                if key[0] != "_" and key != "final_obs":
                    parts[f"infos/{key}"] = [
                        steps[0].info[key][0],
                        *(s.info[key][0] for s in steps),
                    ]
            for name, values in parts.items():
                file[f"episode_{number}/{name}"] = np.array(values)
    return folder


def reach_set(folder: Path, episodes: int = 3, steps: int = 10) -> Path:
    """Random episodes of PointReach."""
    task = GoalTask("her_exp/PointReach-v0", reward_range=(-1.0, 0.0), max_steps=steps)
    functions, env = task.goal_functions(), task.make(1)
    rollout, rng = Rollout(env, functions), np.random.default_rng(0)
    rollout.reset(0)

    def step() -> Step:
        return rollout.apply(rng.uniform(-1, 1, (1, 2)).astype(np.float32))[0]

    return write_set(folder, episodes_of(step, episodes), "her_exp/PointReach-v0")
