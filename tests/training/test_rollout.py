"""Stepping a vector env: true last states, autoreset steps, episode statistics."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from her_exp.training.rollout import Episode, Rollout
from her_exp.types import EnvFailed, Step, UserError
from tests.envs.goal_walk import KEYS
from tests.equality import differences
from tests.training.lane_env import TOLD, LaneEnv


def nothing(observation: Any, goal: Any) -> Any:
    return np.zeros((len(observation), 1), np.float32)


def play(rollout: Rollout, steps: int) -> tuple[list[Step], list[Episode]]:
    done, ended = [], []
    for _ in range(steps):
        step, episodes = rollout.step(nothing)
        done.append(step)
        ended += episodes
    return done, ended


def test_each_step_joins_neighbouring_states() -> None:
    rollout = Rollout(LaneEnv([3, 5]), TOLD)
    before = rollout.reset(7)["achieved_goal"]
    steps, _ = play(rollout, 12)
    for step in steps:
        np.testing.assert_array_equal(step.observation["achieved_goal"], before)
        before = step.next_observation["achieved_goal"]
        lane, episode, at = step.observation["achieved_goal"].T
        # A transition is one step further within its episode; what is none starts the next one.
        after = np.where(step.valid, [lane, episode, at + 1], [lane, episode + 1, 0 * at]).T
        np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(lane, [0, 1])
    valid = np.array([step.valid for step in steps])
    assert [list(np.flatnonzero(~lane)) for lane in valid.T] == [[3, 7, 11], [5, 11]]
    ended = np.array([step.terminated | step.truncated for step in steps])
    assert [list(np.flatnonzero(lane)) for lane in ended.T] == [[2, 6, 10], [4, 10]]


#: Of an episode: success at the reset and after each step; met at reset, at any step, at the last.
EPISODES = [
    ([False, True, False, False], (False, True, False)),
    ([True, False, False, True], (True, True, True)),
    ([True, False, False], (True, False, False)),
    ([False, True], (False, True, True)),
]


@pytest.mark.parametrize(("script", "met"), EPISODES)
def test_episode_statistics(script: Any, met: Any) -> None:
    """The second round equals the first: nothing of it is carried over, nor by a reset in between."""
    length = len(script) - 1
    rollout = Rollout(LaneEnv([length], [script]), TOLD)
    for reset_after in (2 * length + 2, length + 1, 2 * length + 1):
        rollout.reset(0)
        steps, ended = play(rollout, reset_after)
        assert [step.valid.all() for step in steps] == ([*[True] * length, False] * 2)[:reset_after]
        assert len(ended) == 1 + (reset_after > length + 1)
        for e in ended:
            assert (e.met_at_reset, e.success_any, e.success_final) == met
            assert (e.lane, e.length, e.total_reward) == (0, length, sum(range(2, length + 2)))
            assert e.final_distance == length + 1.0  # the last step, from -1


def shown(**changed: Any) -> dict[str, Any]:
    """What three lanes show, with changes."""
    return {"observation": dict.fromkeys(KEYS, np.zeros((3, 3))) | changed}


SPOILT = np.zeros((3, 3))
SPOILT[2, 1] = np.nan


@pytest.mark.parametrize(
    ("odd", "wrong"),
    [
        ({"reward": np.array(["a", "b", "c"])}, "reward of lane 0 is 'a'; it must be numbers"),
        ({"reward": np.zeros((3, 2))}, r"rewards have shape \(3, 2\), expected \(3,\)"),
        ({"reward": 1.0}, "reward is 1.0; it must be numbers of each of 3 lanes"),
        ({"terminated": [False, None, True]}, "terminated of lane 1 is None; it must be one"),
        ({"truncated": np.zeros(2, bool)}, "truncated is .*; it must be a truth value of each"),
        ({"info": {"is_success": np.array([1, 0.5, 0])}}, r"info\['is_success'\] of lane 1 is 0.5"),
        ({"reward": np.array([0, np.inf, 0])}, "reward of lane 1 is inf at step 1 of its episode"),
        (shown(achieved_goal=SPOILT), "achieved_goal of lane 2 is nan at step 1 of its episode"),
        (shown(observation=np.zeros((3, 5))), r"observation has shape \(3, 5\).*\(3, 3\)"),
        (shown(desired_goal=np.zeros((3, 3), object)), "desired_goal has dtype object.*float64"),
        (shown(achieved_goal=None), "the observation has no achieved_goal"),
    ],
)
def test_answers_of_a_vector_env(odd: dict[str, Any], wrong: str) -> None:
    env = LaneEnv([9, 9, 9])
    rollout = Rollout(env, TOLD)
    rollout.reset(0)
    env.odd = odd
    with pytest.raises(EnvFailed, match=f"^env: {wrong}"):
        rollout.apply(np.zeros((3, 1), np.float32))


def test_an_action_that_is_no_number_never_reaches_the_env() -> None:
    env = LaneEnv([9, 9, 9])
    rollout = Rollout(env, TOLD)
    rollout.reset(0)
    line = "agent: the action of lane 1 is nan: learning has diverged"
    with pytest.raises(UserError, match=line):
        rollout.apply(np.array([[0], [np.nan], [0]], np.float32))
    assert (env.at == 0).all()


def test_a_vector_env_may_use_its_arrays_again_and_give_integers() -> None:
    env = LaneEnv([9, 9, 9])
    rollout = Rollout(env, TOLD)
    first = copy.deepcopy(rollout.reset(0))
    first["observation"][:] = 1e300  # a number, though its square is too large
    arrays = copy.deepcopy(first)
    env.odd = {"reward": [0, -1, 0], "terminated": [0, 0, 1], "observation": arrays}
    step, ended = rollout.apply(np.zeros((3, 1), np.float32))
    arrays["achieved_goal"][:] = 7
    later, _ = rollout.apply(np.zeros((3, 1), np.float32))
    assert differences(step.next_observation, first) == []
    assert differences(later.observation, first) == []
    assert [episode.lane for episode in ended] == [2]
    assert step.reward.dtype == np.float64


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_another_autoreset_mode_is_refused(mode: AutoresetMode) -> None:
    env = LaneEnv([2])
    env.metadata = {"autoreset_mode": mode}
    with pytest.raises(UserError, match="NEXT_STEP"):
        Rollout(env, TOLD)
