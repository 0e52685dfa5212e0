"""EnvPool's lanes play the same tasks as Gymnasium-Robotics, step by step, and a seed repeats every bit."""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from her_exp.envs.vector import pool
from her_exp.system.machine import cores
from tests.envs.pool_kit import needs_envpool, task
from tests.equality import differences

IDS = [
    *(f"Fetch{task}-v4" for task in ("Reach", "Push", "Slide", "PickAndPlace", "PushDense")),
    "HandReach-v3", "HandManipulateBlockRotateParallel_BooleanTouchSensors-v1",
    "HandManipulatePenDense-v1", "PointMaze_UMaze-v3", "PointMaze_Medium_Diverse_GR-v3",
]  # fmt: skip


def towards(observation: dict[str, Any], noise: Any) -> Any:
    """Actions towards the goal, where it is a place that actions move to; else random ones."""
    gap = observation["desired_goal"] - observation["achieved_goal"]
    if gap.shape[1] == 15 or noise.shape[1] == 20:
        return noise
    action = noise.copy()
    action[:, : gap.shape[1]] = np.clip(8.0 * gap + 0.3 * action[:, : gap.shape[1]], -1.0, 1.0)
    return action


def compare(id: str, steps: int, make: Any) -> tuple[set[int], int, int]:
    """Play beside the package's own env, asked of each step; returns lengths, successes, new goals seen."""
    env, single = make(id), task(id).make_single()
    own: Any = single.unwrapped
    assert isinstance(env, pool.PoolVectorEnv)
    assert env.single_observation_space == single.observation_space
    assert env.single_action_space == single.action_space
    rng, n = np.random.default_rng(0), env.num_envs
    observation, _ = env.reset(seed=1)
    ended, length = np.zeros(n, bool), np.zeros(n, int)
    lengths, successes, new_goals = set(), 0, 0
    for _ in range(steps // n):
        noise, before = rng.uniform(-1.0, 1.0, env.action_space.shape or ()), observation
        observation, reward, terminated, truncated, info = env.step(towards(observation, noise))
        reset, ended = ended, terminated | truncated
        goals = observation["achieved_goal"], observation["desired_goal"]
        wanted = own_words(own, "compute_reward", goals)
        assert wanted[~reset] == pytest.approx(reward[~reset], rel=3e-7, abs=1e-7)
        assert (reward[reset] == 0.0).all()
        met = np.linalg.norm(goals[0] - goals[1], axis=1) <= 0.45
        if "Maze" not in id:
            met = own_words(own, "_is_success", goals).astype(bool)
        (key,) = (key for key in info if not key.startswith("_"))
        assert (info[key] == met).all()
        assert (terminated == (own.compute_terminated(*goals, {}) & ~reset)).all()
        assert not (truncated & reset).any()
        # The goal stays during an episode; where there are few, the next can be the same.
        moved = (observation["desired_goal"] != before["desired_goal"]).any(axis=1)
        assert not (moved & ~reset).any()
        length = np.where(reset, 0, length + 1)
        lengths |= set(length[ended].tolist())
        successes, new_goals = successes + int(met[~reset].sum()), new_goals + int(moved.sum())
    assert single.spec is not None
    assert lengths <= {single.spec.max_episode_steps}
    return lengths, successes, new_goals


def own_words(own: Any, name: str, goals: tuple[Any, Any]) -> Any:
    """One goal at a time: of many pens at once the package's own functions give wrong answers."""
    rest = ({},) if name == "compute_reward" else ()
    return np.array([getattr(own, name)(a, d, *rest) for a, d in zip(*goals, strict=True)])


@needs_envpool
@pytest.mark.parametrize("id", IDS)
def test_rewards_success_and_ends_are_those_of_gymnasium_robotics(id: str, make: Any) -> None:
    long = id == "PointMaze_UMaze-v3"  # its episodes have 300 steps, those of Medium 600
    lengths, successes, new_goals = compare(id, 3000 if long else 1000, make)
    assert (lengths and new_goals) or "Medium" in id
    assert successes > 50 or id not in ("FetchReach-v4", "PointMaze_UMaze-v3")


@needs_envpool
@pytest.mark.parametrize("id", IDS)
def test_episodes_begin_and_move_as_in_gymnasium_robotics(id: str, make: Any) -> None:
    """With the MuJoCo that EnvPool carries (3.6) to the digit; newer ones move contacts by a bit."""
    import mujoco

    same = mujoco.__version__.startswith("3.6.")
    env, single = make(id, 1), task(id).make_single()
    observation, _ = env.reset(seed=3)
    single.reset(seed=0)
    own: Any = single.unwrapped
    place_like(own, {key: value[0] for key, value in observation.items()})
    first = own.point_env.data.qpos[:2] if "Maze" in id else own._get_obs()["achieved_goal"]
    assert first == pytest.approx(observation["achieved_goal"][0], abs=1e-6 if same else 2e-5)
    if id.startswith("Fetch"):  # the gripper, from which goals are drawn
        gap = own._get_obs()["observation"] - observation["observation"][0]
        assert np.abs(gap[:3]).max() < (1e-6 if same else 0.03)
    if not same or "Slide" in id:  # the puck's tilt is not told, and its slide depends on it
        return
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-1.0, 1.0, env.action_space.shape or ()).astype(np.float32)
        after, reward, *_ = env.step(action)
        own_after, own_reward, *_ = single.step(action[0])
        assert own_after["observation"] == pytest.approx(after["observation"][0], abs=1e-4)
        assert own_reward == pytest.approx(reward[0], abs=1e-4)


def place_like(own: Any, observation: dict[str, Any]) -> None:
    """Put the package's env into the state of an observation, as far as that tells."""
    x, achieved = observation["observation"], observation["achieved_goal"]
    own.goal = observation["desired_goal"].copy()
    if hasattr(own, "point_env"):
        own.point_env.set_state(x[:2], x[2:])
        return
    tools, model, data = own._utils, own.model, own.data
    if hasattr(own, "has_object") and own.has_object:
        pose = tools.get_joint_qpos(model, data, "object0:joint").copy()
        pose[:3] = achieved
        tools.set_joint_qpos(model, data, "object0:joint", pose)
    if len(achieved) == 7:
        tools.set_joint_qpos(model, data, "object:joint", achieved)
        tools.set_joint_qvel(model, data, "object:joint", x[48:54])
        names = [name for name in own._model_names.joint_names if name.startswith("robot")]
        for number, name in enumerate(names):
            tools.set_joint_qpos(model, data, name, x[number])
            tools.set_joint_qvel(model, data, name, x[24 + number])
    own._mujoco.mj_forward(model, data)


@needs_envpool
@pytest.mark.parametrize("id", ["FetchReach-v4", "HandReach-v3", "PointMaze_UMaze-v3"])
def test_a_time_limit_truncates_and_the_next_step_resets(id: str, make: Any) -> None:
    env = make(id, 2, max_episode_steps=3)
    one = np.ones(env.action_space.shape or ())
    env.reset(seed=0)
    steps = [env.step(one) for _ in range(8)]
    assert [bool(step[3].all()) for step in steps] == [False, False, True, False] * 2
    assert not any(step[2].any() for step in steps)
    # The step after the end ignores its action: another one leads to the same first state.
    env.reset(seed=0)
    again = [env.step(action) for action in (one, one, one, -one)]
    assert differences(again[3][0], steps[3][0]) == []


@needs_envpool
def test_success_at_the_time_limit_terminates_where_success_ends_episodes(make: Any) -> None:
    env = make("PointMaze_UMaze-v3", 32, continuing_task=False, max_episode_steps=40)
    rng, ended = np.random.default_rng(0), np.zeros(32, bool)
    observation, _ = env.reset(seed=1)
    at_limit = 0
    for _ in range(400):
        action = towards(observation, rng.normal(size=(32, 2)))
        observation, _, terminated, truncated, info = env.step(action)
        assert (terminated == (info["success"] & ~ended)).all()
        at_limit += int((terminated & truncated).sum())
        ended = terminated | truncated
    assert at_limit > 0


# --- seeds -----------------------------------------------------------------------------------------


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
