"""Evaluation: its interval, its fixed shares, and that it leaves the training alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from her_exp.agents.ddpg import DDPG
from her_exp.envs.make import GoalTask
from her_exp.training.evaluation import describe, evaluate, pooled, shares, wilson_interval
from tests.equality import differences


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # by symmetry
        (20, 20, 1 - 0.1611, 1.0),
    ],
)
def test_wilson_interval(wins: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(wins, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_stays_in_the_unit_interval() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    for wins, n in ((0, 1), (1, 1), (1, 2), (3, 7), (0, 1000), (1000, 1000)):
        low, high = wilson_interval(wins, n)
        assert 0.0 <= low <= wins / n <= high <= 1.0
        assert low < high


def test_shares() -> None:
    assert [shares(n, 4) for n in (10, 2, 8)] == [[3, 3, 2, 2], [1, 1, 0, 0], [2, 2, 2, 2]]


class Still:
    """Does nothing; the script of the env decides."""

    def act(self, observation: Any, goal: Any, *, explore: bool) -> Any:
        assert explore is False
        return np.zeros((len(observation), 1), np.float32)


def test_short_episodes_are_not_favoured(lane_env: Any, info_functions: Any) -> None:
    # Lane 0 wins episodes of 1 step, lane 1 loses episodes of 20: the first 10 to end are lane 0's.
    env = lane_env([1, 20], [[False, True], [False] * 21])
    result = evaluate(env, info_functions, Still(), 10, seed=0)
    assert [e.lane for e in result.episodes] == [0] * 5 + [1] * 5
    summary = result.summary()
    assert (summary["success_final"], summary["length"], summary["episodes"]) == (0.5, 10.5, 10)


@pytest.mark.parametrize(
    ("lengths", "episodes", "lanes"),
    [([2, 9, 4], 7, [0, 0, 0, 1, 1, 2, 2]), ([9, 1, 1], 1, [0])],  # also fewer than lanes
)
def test_each_lane_plays_its_share_to_the_end(
    lengths: list[int], episodes: int, lanes: list[int], lane_env: Any, info_functions: Any
) -> None:
    result = evaluate(lane_env(lengths), info_functions, Still(), episodes, seed=0, paths=1)
    assert [e.lane for e in result.episodes] == lanes
    assert all(e.length == lengths[e.lane] for e in result.episodes)
    assert [len(path) for path in result.paths] == [lengths[0] + 1]


def test_summary_of_a_known_play(lane_env: Any, info_functions: Any) -> None:
    # Won on the way, lost at the end; there at reset and at the end; never; at the end.
    script = [[bool(met) for met in lane] for lane in ([0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1])]
    summary = evaluate(lane_env([2] * 4, script), info_functions, Still(), 8, seed=0).summary()
    assert summary == {
        "success_final": 0.5,
        "success_any": 0.75,
        "return": 5.0,  # 2 + 3, and nothing of an autoreset step
        "length": 2.0,
        "final_distance": 3.0,
        "met_at_reset": 0.25,
        "episodes": 8,
        "interval": pytest.approx(list(wilson_interval(4, 8))),
    }
    assert all(words in describe(summary) for words in ("50.0%", "75.0%", "n=8", "5.000"))


def test_paths_are_those_of_the_first_episodes(lane_env: Any, info_functions: Any) -> None:
    script = [[False, False, True], [False, True, False, False], [False, True]]
    result = evaluate(lane_env([2, 3, 1], script), info_functions, Still(), 9, seed=0, paths=2)
    assert [path[:, 2].tolist() for path in result.paths] == [[0, 1, 2], [0, 1, 2, 3]]
    assert [path[:, :2].max(0).tolist() for path in result.paths] == [[0, 0], [1, 0]]
    assert [goal.tolist() for goal in result.goals] == [[0, 0, -1], [1, 0, -1]]
    assert result.path_success == [True, False]  # at the last step


def test_pooled() -> None:
    one = {"episodes": 100, "success_final": 0.29}
    two = {"episodes": 48, "success_final": 1 / 48}
    rate, interval = pooled([one, two])
    assert rate == pytest.approx(30 / 148)
    assert interval == wilson_interval(30, 148)


@pytest.fixture
def task() -> GoalTask:
    return GoalTask("her_exp/PointReach-v0", num_envs=3, max_steps=6, distance_threshold=0.4)


def make_agent(task: GoalTask, seed: int = 0) -> DDPG:
    agent = DDPG(hidden_sizes=[16], spaces=task.spaces, seed=np.random.SeedSequence(seed))
    rng = np.random.default_rng(seed)
    agent.observe(rng.normal(size=(50, 4)), rng.normal(size=(50, 2)), np.ones(50), 50)
    return agent


def test_agent_and_training_env_are_left_as_they_are(task: GoalTask) -> None:
    functions, agent = task.goal_functions(), make_agent(task)
    training, apart = task.make(), task.make(5)
    training.reset(seed=3)
    training.step(np.ones((3, 2), np.float32))
    before = copy.deepcopy([training.get_state(), agent.state_dict()])
    globals_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    evaluate(apart, functions, agent, 20, seed=1, paths=3)
    assert differences(before, [training.get_state(), agent.state_dict()]) == []
    assert torch.equal(globals_before[0], torch.get_rng_state())
    assert np.array_equal(globals_before[1], np.random.get_state()[1])  # noqa: NPY002


class Notes:
    """An agent that notes the goals that it is asked for."""

    def __init__(self, agent: DDPG) -> None:
        self.agent, self.goals = agent, []

    def act(self, observation: Any, goal: Any, *, explore: bool) -> Any:
        self.goals.append(goal.copy())
        return self.agent.act(observation, goal, explore=explore)


def test_the_same_goals_each_time_whatever_the_policy(task: GoalTask) -> None:
    env, functions = task.make(4), task.goal_functions()

    def goals(of_agent: int, seed: int) -> np.ndarray:
        notes = Notes(make_agent(task, of_agent))
        found = evaluate(env, functions, notes, 12, seed)
        again = evaluate(task.make(4), functions, make_agent(task, of_agent), 12, seed)
        assert found.episodes == again.episodes  # and so the same numbers
        return np.stack(notes.goals)

    first = goals(0, 5)
    np.testing.assert_array_equal(first, goals(0, 5))
    np.testing.assert_array_equal(first, goals(1, 5))
    assert not np.array_equal(first, goals(0, 6))
    assert len(np.unique(first.reshape(-1, 2), axis=0)) >= 12
