"""Actions of agents: inside their box, explored as asked, and refused where they do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from her_exp.agents.ddpg import DDPG
from tests.agents.kit import (
    ALL,
    FIRST,
    GOAL,
    HALF,
    HIGH,
    LOW,
    MIDDLE,
    OBSERVATION,
    answer,
    batches,
    ddpg,
    dqn,
    inputs,
    make_spaces,
    see,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# --- actions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("inside", "outside"), [(50.0, HIGH), (-50.0, LOW), (0.0, MIDDLE)])
def test_actions_reach_the_corners_of_the_box(inside: float, outside: np.ndarray) -> None:
    agent = ddpg()
    answer(agent.nets.actor, inside, inside)
    action = agent.act(*inputs(3), explore=False)
    assert action.dtype == np.float32
    np.testing.assert_allclose(action, np.tile(outside, (3, 1)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_actions_have_the_shape_and_type_of_the_box(dtype: Any) -> None:
    low = np.arange(6, dtype=dtype).reshape(2, 3) - 3.0
    box = spaces.Box(low.astype(dtype), (low + 2.0).astype(dtype), dtype=dtype)
    agent = ddpg(spaces=make_spaces(box), random_steps=5)
    for steps in (0, 10):
        agent.observe(np.zeros((1, OBSERVATION)), np.zeros((1, GOAL)), np.ones(1), steps)
        for explore in (True, False):
            action = agent.act(*inputs(7), explore=explore)
            assert action.shape == (7, 2, 3)
            assert action.dtype == dtype
            assert all(box.contains(row) for row in action)
    answer(agent.nets.actor, *[0.0] * 6)
    np.testing.assert_allclose(agent.act(*inputs(1), explore=False)[0], low + 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_actions_lie_in_the_box_to_the_last_bit(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(60):
        low = rng.uniform(-3.0, 2.0, 8).astype(dtype)
        box = spaces.Box(low, (low + rng.uniform(0.1, 3.0, 8)).astype(dtype), dtype=dtype)
        agent = ddpg(spaces=make_spaces(box), random_steps=0, noise_std=1.0, hidden_sizes=(4,))
        actions = [*agent.act(*inputs(8), explore=True)]
        for end in (50.0, -50.0):
            answer(agent.nets.actor, *[end] * 8)
            actions += [*agent.act(*inputs(1), explore=False)]
        outside += sum(not box.contains(action) for action in actions)
    assert outside == 0


# --- exploration -------------------------------------------------------------------------------


def explored(agent: DDPG, n: int = 20_000) -> np.ndarray:
    """Exploring actions in units of half the Box, of a policy that answers the middle."""
    answer(agent.nets.actor, 0.0, 0.0)
    return (agent.act(*inputs(n), explore=True) - MIDDLE) / HALF


def uniform(values: np.ndarray) -> bool:
    """Uniform on [-1, 1], to the precision of the sample: its largest gap to the distribution."""
    ordered = (np.sort(values) + 1.0) / 2.0
    gap = np.abs(ordered - (np.arange(len(ordered)) + 0.5) / len(ordered)).max()
    return bool(gap < 2.0 / np.sqrt(len(values)))


def test_gaussian_noise() -> None:
    noise = explored(ddpg(random_steps=0, random_action=0.0, noise_std=0.2))
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.01)
    np.testing.assert_allclose(noise.std(0), 0.2, rtol=0.03)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    # Not cut short: some 4.6 % of a normal lies beyond two deviations.
    assert np.mean(np.abs(noise) > 0.4) == pytest.approx(0.0455, abs=0.005)


def test_noise_is_clipped_to_the_box() -> None:
    noise = explored(ddpg(random_steps=0, random_action=0.0, noise_std=1.0))
    assert np.abs(noise).max() <= 1.0 + 1e-6
    assert np.mean(np.abs(noise) > 0.999) == pytest.approx(0.317, abs=0.02)


def test_the_share_of_random_actions() -> None:
    actions = explored(ddpg(random_steps=0, random_action=0.3, noise_std=0.0))
    drawn = np.abs(actions) > 1e-6
    assert (drawn[:, 0] == drawn[:, 1]).all()  # a whole action is drawn, or none of it
    assert drawn[:, 0].mean() == pytest.approx(0.3, abs=0.01)
    assert all(uniform(actions[drawn[:, 0], i]) for i in (0, 1))


def test_random_steps_are_counted_in_env_steps() -> None:
    agent = ddpg(random_steps=100, random_action=0.0, noise_std=0.1)
    see(agent, 8, steps=99)  # 8 states, 99 env steps
    first = explored(agent)
    assert all(uniform(first[:, i]) for i in (0, 1))
    see(agent, 8, steps=1)
    np.testing.assert_allclose(explored(agent).std(0), 0.1, rtol=0.03)


def test_epsilon_falls_in_env_steps() -> None:
    agent = dqn(epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=1000)
    answer(agent.nets.q, 0.0, 1.0, 0.0)
    passed = 0
    for steps, epsilon in ((0, 0.9), (8, 0.8936), (492, 0.5), (500, 0.1), (10_000, 0.1)):
        see(agent, 4, steps=steps)
        passed += steps
        assert agent.env_steps == passed
        assert agent.epsilon == pytest.approx(epsilon)
        share = np.mean(agent.act(*inputs(20_000), explore=True) != FIRST + 1)
        assert share == pytest.approx(epsilon * 2 / 3, abs=0.012)  # one draw in three hits the best


def test_discrete_actions_are_uniform_and_start_where_the_space_does() -> None:
    agent = dqn(epsilon_start=1.0)
    actions = agent.act(*inputs(30_000), explore=True)
    assert np.issubdtype(actions.dtype, np.integer)
    values, counts = np.unique(actions, return_counts=True)
    assert values.tolist() == [10, 11, 12]
    np.testing.assert_allclose(counts / len(actions), 1 / 3, atol=0.012)


def test_greedy_dqn() -> None:
    agent = dqn()
    see(agent)
    observation, goal = inputs(50)
    values = agent.nets.q(agent.input_of(observation, goal)).detach().numpy()
    np.testing.assert_array_equal(
        agent.act(observation, goal, explore=False), FIRST + values.argmax(1)
    )


@ALL
def test_learning_without_a_word_of_a_step_is_told_once(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """In a loop of one's own that forgets `observe` the first, random steps would never end."""
    silent, told = make(), make()
    see(told, steps=8)
    for batch in batches(make, 2):
        silent.update(batch)
        told.update(batch)
    lines = [record.message for record in caplog.records if "observe" in record.message]
    assert len(lines) == 1
    assert "call observe(...)" in lines[0]
