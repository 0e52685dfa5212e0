"""Evaluation: its interval, its fixed shares, the same goals each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from her_exp.envs.make import GoalTask
from her_exp.training.evaluation import describe, evaluate, pooled, wilson_interval
from tests.training.lane_env import TOLD, LaneEnv


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
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval(wins: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(wins, n) == pytest.approx((low, high), abs=5e-5)


class Notes:
    """Acts at random, and notes the goals that it is asked for."""

    def __init__(self, seed: int = 0, width: int = 1) -> None:
        self.rng, self.width, self.goals = np.random.default_rng(seed), width, []

    def act(self, observation: Any, goal: Any, *, explore: bool) -> Any:
        assert explore is False
        self.goals.append(goal.copy())
        return self.rng.normal(size=(len(goal), self.width)).astype(np.float32)


@pytest.mark.parametrize(
    ("lengths", "episodes", "lanes"),
    [
        ([2, 9, 4], 7, [0, 0, 0, 1, 1, 2, 2]),
        ([9, 1, 1], 1, [0]),  # fewer than lanes
        (
            [1, 20],
            10,
            [0] * 5 + [1] * 5,
        ),  # of short episodes, which end first, no more than of long
    ],
)
def test_each_lane_plays_its_share_to_the_end(
    lengths: list[int], episodes: int, lanes: list[int]
) -> None:
    result = evaluate(LaneEnv(lengths), TOLD, Notes(), episodes, seed=0, paths=1)
    assert [e.lane for e in result.episodes] == lanes
    assert all(e.length == lengths[e.lane] for e in result.episodes)
    assert [len(path) for path in result.paths] == [lengths[0] + 1]


def test_summary_of_a_known_play() -> None:
    # Won on the way, lost at the end; there at reset and at the end; never; at the end.
    script = [[bool(met) for met in lane] for lane in ([0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1])]
    summary = evaluate(LaneEnv([2] * 4, script), TOLD, Notes(), 8, seed=0).summary()
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


def test_paths_are_those_of_the_first_episodes() -> None:
    script = [[False, False, True], [False, True, False, False], [False, True]]
    result = evaluate(LaneEnv([2, 3, 1], script), TOLD, Notes(), 9, seed=0, paths=2)
    assert [path[:, 2].tolist() for path in result.paths] == [[0, 1, 2], [0, 1, 2, 3]]
    assert [path[:, :2].max(0).tolist() for path in result.paths] == [[0, 0], [1, 0]]
    assert [goal.tolist() for goal in result.goals] == [[0, 0, -1], [1, 0, -1]]
    assert result.path_success == [True, False]  # at the last step


@pytest.mark.parametrize("backend", ["native", "sync"])
def test_the_radius_is_that_of_the_goal_functions(backend: Any) -> None:
    """Success may ask for more than the distance that an env names; other packages' lanes name none."""
    task = GoalTask("her_exp/PointReach-v0", backend=backend, distance_threshold=0.3)
    played = evaluate(task.make(2), task.goal_functions(), Notes(0, 2), 2, seed=0, paths=2)
    assert played.radius == 0.3
    env = LaneEnv([2, 2])
    env.distance_threshold = 0.2  # type: ignore[attr-defined]
    assert evaluate(env, TOLD, Notes(), 2, seed=0, paths=2).radius is None


def test_pooled() -> None:
    one = {"episodes": 100, "success_final": 0.29}
    two = {"episodes": 48, "success_final": 1 / 48}
    rate, interval = pooled([one, two])
    assert rate == pytest.approx(30 / 148)
    assert interval == wilson_interval(30, 148)


def test_the_same_goals_and_numbers_each_time_whatever_the_policy() -> None:
    task = GoalTask("her_exp/PointReach-v0", num_envs=4, max_steps=6, distance_threshold=0.4)
    env, functions = task.make(), task.goal_functions()

    def goals(policy: int, seed: int) -> np.ndarray:
        notes = Notes(policy, 2)
        found = evaluate(env, functions, notes, 12, seed)
        assert (
            found.episodes == evaluate(task.make(), functions, Notes(policy, 2), 12, seed).episodes
        )
        return np.stack(notes.goals)

    first = goals(0, 5)
    np.testing.assert_array_equal(first, goals(0, 5))
    np.testing.assert_array_equal(first, goals(1, 5))
    assert not np.array_equal(first, goals(0, 6))
    assert len(np.unique(first.reshape(-1, 2), axis=0)) >= 12
