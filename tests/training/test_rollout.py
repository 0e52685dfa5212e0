"""Stepping a vector env: true last states, autoreset steps, episode statistics."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from her_exp.envs.make import GoalTask
from her_exp.training.rollout import Episode, Rollout
from her_exp.types import Step, UserError


def nothing(observation: Any, goal: Any) -> Any:
    return np.zeros((len(observation), 1), np.float32)


def play(rollout: Rollout, steps: int) -> tuple[list[Step], list[Episode]]:
    done, ended = [], []
    for _ in range(steps):
        step, episodes = rollout.step(nothing)
        done.append(step)
        ended += episodes
    return done, ended


def test_each_step_joins_neighbouring_states(lane_env: Any, info_functions: Any) -> None:
    rollout = Rollout(lane_env([3, 5]), info_functions)
    first = rollout.reset(7)
    steps, _ = play(rollout, 12)
    before = first["achieved_goal"]
    for step in steps:
        np.testing.assert_array_equal(step.observation["achieved_goal"], before)
        before = step.next_observation["achieved_goal"]
        lane, episode, at = step.observation["achieved_goal"].T
        _, next_episode, next_at = before.T
        # A transition is one step further within its episode; what is none starts the next one.
        np.testing.assert_array_equal(step.valid, next_episode == episode)
        np.testing.assert_array_equal(next_at[step.valid], at[step.valid] + 1)
        np.testing.assert_array_equal(next_at[~step.valid], 0)
        np.testing.assert_array_equal(next_episode[~step.valid], episode[~step.valid] + 1)
        np.testing.assert_array_equal(lane, [0, 1])


def test_autoreset_steps_are_no_transitions(lane_env: Any, info_functions: Any) -> None:
    rollout = Rollout(lane_env([3, 5]), info_functions)
    rollout.reset(0)
    steps, _ = play(rollout, 12)
    valid = np.array([step.valid for step in steps])
    assert [list(np.flatnonzero(~lane)) for lane in valid.T] == [[3, 7, 11], [5, 11]]
    ended = np.array([step.terminated | step.truncated for step in steps])
    assert [list(np.flatnonzero(lane)) for lane in ended.T] == [[2, 6, 10], [4, 10]]


def test_episode_statistics(lane_env: Any, info_functions: Any) -> None:
    #           reset   1      2      3
    script = [
        [False, True, False, False],  # met on the way only
        [True, False, False, True],  # met at reset and at the end
    ]
    rollout = Rollout(lane_env([3, 3], script), info_functions)
    rollout.reset(0)
    _, ended = play(rollout, 8)
    assert [e.lane for e in ended] == [0, 1, 0, 1]
    for episode in ended:  # the second round equals the first: nothing of it is carried over
        assert episode.length == 3
        assert episode.total_reward == 2 + 3 + 4
        assert episode.final_distance == 4.0  # the last step, 3, from -1
        won = episode.lane == 1
        assert episode.success_final == won
        assert episode.success_any
        assert episode.met_at_reset == won


def test_success_at_reset_alone_is_not_success_at_any_step(
    lane_env: Any, info_functions: Any
) -> None:
    rollout = Rollout(lane_env([2], [[True, False, False]]), info_functions)
    rollout.reset(0)
    _, ended = play(rollout, 5)
    assert [(e.met_at_reset, e.success_any, e.success_final) for e in ended] == [
        (True, False, False)
    ] * 2


def test_episodes_of_one_step(lane_env: Any, info_functions: Any) -> None:
    rollout = Rollout(lane_env([1], [[False, True]]), info_functions)
    rollout.reset(0)
    steps, ended = play(rollout, 4)
    assert [bool(s.valid[0]) for s in steps] == [True, False, True, False]
    assert [(e.length, e.total_reward) for e in ended] == [(1, 2.0)] * 2


def test_a_reset_forgets_the_open_episodes(lane_env: Any, info_functions: Any) -> None:
    rollout = Rollout(lane_env([4], [[False, True, False, False, False]]), info_functions)
    rollout.reset(0)
    play(rollout, 4)  # the next step would be an autoreset
    rollout.reset(0)
    steps, ended = play(rollout, 4)
    assert all(step.valid.all() for step in steps)
    assert [(e.length, e.total_reward) for e in ended] == [(4, 2.0 + 3 + 4 + 5)]


def test_the_seed_goes_to_the_env_and_the_action_into_the_step(
    lane_env: Any, info_functions: Any
) -> None:
    env = lane_env([3, 3])
    rollout = Rollout(env, info_functions)
    rollout.reset(41)
    assert env.seeds == [41]
    action = np.array([[0.25], [-0.5]], np.float32)
    step, _ = rollout.apply(action)
    np.testing.assert_array_equal(step.action, action)
    assert "is_success" in step.info


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_another_autoreset_mode_is_refused(mode: AutoresetMode, info_functions: Any) -> None:
    env = gym.make_vec(
        "her_exp/PointReach-v0", num_envs=2, vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
    )  # fmt: skip
    with pytest.raises(UserError, match="NEXT_STEP"):
        Rollout(env, info_functions)
    env.close()


@pytest.mark.parametrize("backend", ["native", "sync"])
@pytest.mark.parametrize(
    ("id", "kwargs"),
    [
        ("her_exp/PointReach-v0", {"max_steps": 7, "distance_threshold": 1.0}),
        ("her_exp/Nav2D-v0", {"max_steps": 9, "distance_threshold": 0.6}),
    ],
)
def test_equals_single_envs_played_one_by_one(
    backend: Any, id: str, kwargs: dict[str, Any]
) -> None:
    task = GoalTask(id, num_envs=3, backend=backend, **kwargs)
    functions = task.goal_functions()

    def policy(observation: Any, goal: Any) -> Any:
        return np.clip(2.0 * (goal - observation[:, :2]), -1, 1).astype(np.float32)

    env = task.make()
    rollout = Rollout(env, functions)
    rollout.reset(11)
    got: dict[int, list[Episode]] = {0: [], 1: [], 2: []}
    for _ in range(40):
        _, ended = rollout.step(policy)
        for episode in ended:
            got[episode.lane].append(episode)
    env.close()

    for lane in range(3):
        single = task.make_single()
        assert len(got[lane]) >= 3
        for number, episode in enumerate(got[lane][:3]):
            observation, info = single.reset(seed=11 + lane if number == 0 else None)
            total, length, any_success, done = 0.0, 0, False, False
            met = bool(info["is_success"])
            while not done:
                action = policy(observation["observation"][None], observation["desired_goal"][None])
                observation, reward, terminated, truncated, info = single.step(action[0])
                total, length = total + float(reward), length + 1
                any_success |= bool(info["is_success"])
                done = terminated or truncated
            gap = observation["achieved_goal"].astype(float) - observation["desired_goal"]
            assert episode == Episode(
                lane, total, length, bool(info["is_success"]), any_success, met,
                pytest.approx(float(np.linalg.norm(gap)), abs=1e-6),
            )  # fmt: skip
        single.close()
