"""The normaliser of inputs: moments of all that was observed, and of nothing else."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from her_exp.agents.normalizer import InputNormalizer, RunningMoments
from her_exp.types import GoalSpaces
from tests.agents.kit import ACTIONS, dqn


def test_moments_equal_numpys_of_all_values_seen() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal([5.0, -300.0, 1e6], [2.0, 40.0, 3.0], (500, 3)), rng.random(500)
    weights[::7] = 0.0
    plain, weighted = RunningMoments(3), RunningMoments(3)
    for part in np.array_split(np.arange(500), 37):
        plain.update(values[part])
        weighted.update(values[part], weights[part])
    np.testing.assert_allclose(plain.mean, values.mean(0))
    np.testing.assert_allclose(plain.std, values.std(0))
    mean = np.average(values, axis=0, weights=weights)
    np.testing.assert_allclose(weighted.mean, mean)
    deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(weighted.std, deviation)


def test_moments_before_anything_and_of_nothing() -> None:
    moments = RunningMoments(2)
    np.testing.assert_array_equal(moments.std, [1.0, 1.0])
    moments.update(np.zeros((0, 2)))
    moments.update(np.full((3, 2), 7.0), np.zeros(3))
    assert moments.weight == 0.0
    np.testing.assert_array_equal(moments.mean, [0.0, 0.0])
    moments.update(np.full((3, 2), 7.0))
    np.testing.assert_array_equal(moments.std, [0.01, 0.01])  # not blown up
    moments = RunningMoments(2)  # integers are counted as numbers
    moments.update(np.full((300, 2), 127, np.int8))
    moments.update(np.full((100, 2), -127, np.int8))
    np.testing.assert_allclose(moments.mean, 63.5)


def test_inputs_are_normalised_and_clipped() -> None:
    normalizer = InputNormalizer(1, 1, clip=2.0)
    normalizer.observe(np.array([[1.0], [3.0]]), np.array([[0.0], [10.0]]), np.array([0.75, 0.25]))
    observation = torch.tensor([[2.0], [3.5], [100.0], [-100.0]])
    goal = torch.tensor([[2.5], [0.0], [-100.0], [100.0]])
    deviation = np.sqrt(0.75 * 2.5**2 + 0.25 * 7.5**2)
    expected = [[0.0, 0.0], [1.5, -2.5 / deviation], [2.0, -2.0], [-2.0, 2.0]]
    torch.testing.assert_close(normalizer(observation, goal), torch.tensor(expected).float())
    normalizer = InputNormalizer(1, 1, enabled=False)
    normalizer.observe(np.ones((9, 1)), np.ones((9, 1)), np.ones(9))
    assert torch.equal(normalizer(observation, goal), torch.cat([observation, goal], 1))


def test_images_and_bits_are_flattened() -> None:
    space = spaces.MultiBinary((2, 3))
    agent = dqn(spaces=GoalSpaces(space, space, spaces.Discrete(ACTIONS)))
    bits = np.random.default_rng(0).integers(0, 2, (5, 2, 3), np.int8)
    agent.observe(bits, bits, np.ones(5), 5)
    assert agent.act(bits, bits, explore=False).shape == (5,)
    assert agent.input_of(bits, bits).shape == (5, 12)
