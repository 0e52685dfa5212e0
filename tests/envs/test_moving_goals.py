"""A goal that is replaced when it is met: each step is judged by the goal that its action was chosen for."""

from __future__ import annotations

import numpy as np
import pytest

from her_exp.envs.make import GoalTask
from her_exp.training.evaluation import evaluate
from tests.envs.strange_envs import Chase, seeker
from tests.envs.strange_kit import own_rewards, play


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("cost", [0.0, 0.25, 1.0])
def test_a_goal_that_is_replaced_when_it_is_met(late: bool, asks: bool, cost: float) -> None:
    """In play and when relabelled; touches are counted as the env itself counts them."""
    Chase.touches = 0
    played = play("Chase", steps=210, policy=seeker, late=late, asks=asks, cost=cost)
    assert Chase.touches > 60
    assert np.mean([episode.success_any for episode in played.episodes]) == 1.0
    if not late:  # whose info speaks of a goal that nobody has seen yet
        near = [episode.final_distance < 0.25 for episode in played.episodes]
        assert near == [episode.success_final for episode in played.episodes]
        assert 0 < sum(near) < len(near)
    batch = played.draw(6000)
    own = own_rewards(Chase(), batch) - cost
    np.testing.assert_allclose(batch.reward.numpy(), own, atol=1e-6)
    assert 0.1 < (batch.reward == -cost).float().mean() < 0.9


@pytest.mark.parametrize("effort", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("policy", [seeker, None])
def test_a_price_of_the_action_stays_where_goals_move(effort: float, policy: object) -> None:
    """It varies from step to step, so that no step proves by which goal the env judges: by the one asked."""
    batch = play("Chase", steps=210, policy=policy, effort=effort).draw(6000)
    own = own_rewards(Chase(), batch) - effort * (batch.action.numpy() ** 2).sum(-1)
    np.testing.assert_allclose(batch.reward.numpy(), own, atol=1e-5)


class Seeks:
    """An agent that walks to the goal of `Chase`."""

    act = staticmethod(lambda observation, goal, *, explore: seeker(observation, goal))


def test_a_picture_shows_the_goal_that_the_end_is_judged_by() -> None:
    task = GoalTask("strange/Chase-v0", num_envs=8, backend="sync")
    shown = evaluate(task.make(), task.goal_functions(), Seeks(), 8, seed=0, paths=8)
    ends = zip(shown.paths, shown.goals, strict=True)
    near = [bool(np.abs(path[-1] - goal)[0] < 0.25) for path, goal in ends]
    assert near == shown.path_success
    assert 0 < sum(near) < 8
