"""EnvPool's lanes under a seed: every bit comes again, on any number of threads and lanes."""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from her_exp.system.machine import cores
from tests.envs.pool_kit import needs_envpool


def play(env: Any, seed: int = 5, lanes: int | None = None) -> list[Any]:
    rng = np.random.default_rng(0)
    out = [env.reset(seed=seed)[0]]
    for action in rng.uniform(-1.0, 1.0, (60, 8, *(env.single_action_space.shape or ()))):
        observation, reward, *_ = env.step(action[: env.num_envs])
        out.append(observation | {"reward": reward})
    return [{key: value[:lanes].tobytes() for key, value in one.items()} for one in out]


@needs_envpool
@pytest.mark.parametrize("id", ["FetchPush-v4", "HandManipulateEgg-v1", "PointMaze_UMaze-v3"])
def test_a_seed_repeats_every_bit_on_any_number_of_threads_and_lanes(id: str, make: Any) -> None:
    one, three, two = make(id, 4, num_threads=1), make(id, 4, num_threads=3), make(id, 2)
    first = play(one)
    assert play(three) == first
    assert play(two) == play(one, lanes=2)
    assert play(one) == first  # after other episodes, in the same env
    assert play(one, seed=6)[0] != first[0]


@needs_envpool
def test_lanes_differ_and_a_reset_without_seed_goes_on(make: Any) -> None:
    env = make("FetchReach-v4", 4)
    first = env.reset(seed=0)[0]["desired_goal"]
    assert len({goal.tobytes() for goal in first}) == 4
    second = env.reset()[0]["desired_goal"]
    assert not (first == second).any()
    env.reset(seed=0)
    assert (env.reset()[0]["desired_goal"] == second).all()
    assert (env.reset(seed=[3, 0, 7, 1])[0]["desired_goal"][1] == first[0]).all()


@needs_envpool
def test_threads_are_at_most_one_a_lane_and_one_a_core(make: Any) -> None:
    def threads(given: int | None) -> int:
        before = len(os.listdir("/proc/self/task"))
        make("FetchReach-v4", 4, num_threads=given).reset(seed=0)
        return len(os.listdir("/proc/self/task")) - before

    one = threads(1)
    assert [threads(n) - one + 1 for n in (None, 2, 64)] == [min(4, cores()), 2, 4]


@needs_envpool
def test_wrong_calls(make: Any) -> None:
    env = make("FetchReach-v4", 4)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="2 seeds were given for 4 lanes"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="options"):
        env.reset(options={"reset_mask": np.ones(4, bool)})
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"\(3, 4\), expected \(4, 4\)"):
        env.step(np.zeros((3, 4)))
