"""Actions of agents: inside their space to the last bit, and explored as asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.agents import kit
from tests.agents.kit import FIRST, HALF, MIDDLE, answer, ddpg, dqn, inputs, make_spaces, sac, see


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_actions_lie_in_the_box_to_the_last_bit(dtype: Any) -> None:
    """Of its shape and type, at random, explored, and at its ends; one coordinate cannot move."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        low = rng.uniform(-3.0, 2.0, (2, 4)).astype(dtype)
        high = (low + rng.uniform(0.1, 3.0, (2, 4))).astype(dtype)
        high[1, 2] = low[1, 2]
        box = spaces.Box(low, high, dtype=dtype)
        agent = ddpg(spaces=make_spaces(box), random_steps=5, noise_std=1.0, hidden_sizes=(4,))
        actions = [*agent.act(*inputs(4), explore=True)]
        see(agent, steps=10)
        actions += [*agent.act(*inputs(8), explore=True)]
        for end, corner in ((50.0, high), (-50.0, low)):
            answer(agent.nets.actor, *[end] * 8)
            actions += [*agent.act(*inputs(1), explore=False)]
            np.testing.assert_allclose(actions[-1], corner, rtol=0, atol=4e-3)
        for action in actions:
            assert (action.shape, action.dtype) == ((2, 4), dtype)
            assert box.contains(action)


# --- exploration -------------------------------------------------------------------------------


def explored(agent: Any, *raw: float, n: int = 20_000) -> np.ndarray:
    """Exploring actions in units of half the Box, of a policy whose network answers `raw`."""
    answer(agent.nets.actor, *raw)
    return (agent.act(*inputs(n), explore=True) - MIDDLE) / HALF


def uniform(values: np.ndarray) -> bool:
    """Uniform on [-1, 1], to the precision of the sample: its largest gap to the distribution."""
    ordered = (np.sort(values) + 1.0) / 2.0
    gap = np.abs(ordered - (np.arange(len(ordered)) + 0.5) / len(ordered)).max()
    return bool(gap < 2.0 / np.sqrt(len(values)))


def test_gaussian_noise_is_of_the_width_asked() -> None:
    noise = explored(ddpg(random_steps=0, random_action=0.0, noise_std=0.2), 0.0, 0.0)
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.01)
    np.testing.assert_allclose(noise.std(0), 0.2, rtol=0.03)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    assert np.mean(np.abs(noise) > 0.4) == pytest.approx(0.0455, abs=0.005)  # not cut short


@pytest.mark.parametrize(
    ("make", "raw"), [(ddpg, (0.0, 0.0)), (sac, (0.0, 0.0, -20.0, -20.0))], ids=["ddpg", "sac"]
)
def test_the_share_of_random_actions(make: Any, raw: tuple[float, ...]) -> None:
    settings = {"noise_std": 0.0} if make is ddpg else {}
    actions = explored(make(random_steps=0, random_action=0.3, **settings), *raw)
    drawn = np.abs(actions) > 1e-6
    assert (drawn[:, 0] == drawn[:, 1]).all()  # a whole action is drawn, or none of it
    assert drawn[:, 0].mean() == pytest.approx(0.3, abs=0.01)
    assert all(uniform(actions[drawn[:, 0], i]) for i in (0, 1))


def test_random_steps_are_counted_in_env_steps() -> None:
    agent = ddpg(random_steps=100, random_action=0.0, noise_std=0.1)
    see(agent, 8, steps=99)  # 8 states, 99 env steps
    first = explored(agent, 0.0, 0.0)
    assert all(uniform(first[:, i]) for i in (0, 1))
    see(agent, 8, steps=1)
    np.testing.assert_allclose(explored(agent, 0.0, 0.0).std(0), 0.1, rtol=0.03)


def test_soft_actions() -> None:
    agent = sac(random_steps=0)
    tried = explored(agent, 0.3, -0.2, np.log(0.5), np.log(0.1))
    mean = np.tanh([0.3, -0.2]) * HALF + MIDDLE
    still = agent.act(*inputs(3), explore=False)
    np.testing.assert_allclose(still, np.tile(mean, (3, 1)), rtol=1e-6)
    before = np.arctanh(tried.clip(-0.99999, 0.99999))
    np.testing.assert_allclose(before.mean(0), [0.3, -0.2], atol=0.02)
    np.testing.assert_allclose(before.std(0), [0.5, 0.1], rtol=0.03)
    assert abs(np.corrcoef(before.T)[0, 1]) < 0.03


# --- Discrete actions --------------------------------------------------------------------------


def test_epsilon_falls_in_env_steps() -> None:
    agent = dqn(epsilon_start=1.0, epsilon_end=0.1, epsilon_steps=1000)
    answer(agent.nets.q, 0.0, 1.0, 0.0)
    passed = 0
    for steps, epsilon in ((0, 1.0), (8, 0.9928), (492, 0.55), (500, 0.1), (10_000, 0.1)):
        see(agent, 4, steps=steps)
        passed += steps
        assert agent.env_steps == passed
        assert agent.epsilon == pytest.approx(epsilon)
        actions = agent.act(*inputs(20_000), explore=True)
        values, counts = np.unique(actions, return_counts=True)
        assert values.tolist() == [FIRST, FIRST + 1, FIRST + 2]  # where the space starts
        shares = [epsilon / 3, 1 - epsilon * 2 / 3, epsilon / 3]
        np.testing.assert_allclose(counts / len(actions), shares, atol=0.012)


@pytest.mark.parametrize(
    ("make", "outputs", "best"),
    [
        (dqn, (1.0, 3.0, 2.0), 1),
        (kit.dueling, (9.0, 1.0, 2.0, 6.0), 2),
        (kit.qrdqn, (0.0, 0.0, 9.0, 0.0, 0.0, *[4.0] * 5, 5.0, 3.0, 3.0, 3.0, 3.0), 1),  # by means
    ],
)
def test_the_best_action_is_taken(make: Any, outputs: tuple[float, ...], best: int) -> None:
    agent = make()
    answer(agent.nets.q, *outputs)
    actions = agent.act(*inputs(5), explore=False)
    assert np.issubdtype(actions.dtype, np.integer)
    assert set(actions) == {FIRST + best}
