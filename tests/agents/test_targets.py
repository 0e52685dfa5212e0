"""What critics are fitted to: targets by hand, and quantiles, whose loss and slope are autograd's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from her_exp.agents.quantiles import quantile_huber
from her_exp.limits import target_range
from tests.agents.kit import ACTIONS, BOTH, answer, batches, dqn, one_row
from tests.agents.reference import pinball


@pytest.mark.parametrize(
    ("reward_range", "gamma", "expected"),
    [
        ((-1.0, 0.0), 0.98, (-50.0, 0.0)),
        ((-2.0, 3.0), 0.9, (-20.0, 30.0)),
        ((0.5, 1.0), 0.5, (0.5, 2.0)),  # an episode may end at once with 0.5
        ((-3.0, -1.0), 0.5, (-6.0, -1.0)),
        ((-1.0, 0.0), 0.0, (-1.0, 0.0)),
        (None, 0.98, None),
    ],
)
def test_target_range(reward_range: Any, gamma: float, expected: Any) -> None:
    got = target_range(reward_range, gamma)
    assert got == (None if expected is None else pytest.approx(expected))


@BOTH
@pytest.mark.parametrize(
    ("settings", "reward", "terminated", "next_value", "target"),
    [
        ({}, -1.0, 0.0, -2.0, -1.0 + 0.9 * -2.0),
        ({}, -1.0, 1.0, -2.0, -1.0),  # terminated: nothing follows
        ({}, 0.0, 1.0, -2.0, 0.0),
        ({}, -1.0, 0.0, -30.0, -10.0),  # clipped to -1 / (1 - 0.9)
        ({}, 0.0, 0.0, 30.0, 0.0),
        ({"reward_range": (0.0, 1.0)}, 1.0, 0.0, 30.0, 10.0),
        ({"reward_range": (0.0, 1.0)}, 0.0, 0.0, -30.0, 0.0),
        ({"reward_range": None}, -1.0, 0.0, -30.0, -28.0),  # undeclared: as it is
        ({"clip_targets": False}, -1.0, 0.0, -30.0, -28.0),
    ],
)
def test_targets(
    make: Any, settings: Any, reward: float, terminated: float, next_value: float, target: float
) -> None:
    agent = make(gamma=0.9, **settings)
    now, many = -3.0, ACTIONS if make is dqn else 1
    online, follower = ("q", "target_q") if make is dqn else ("critic", "target_critic")
    answer(getattr(agent.nets, online), *[now] * many)
    answer(getattr(agent.nets, follower), *[next_value] * many)
    metrics = agent.update(one_row(batches(make)[0], reward=reward, terminated=terminated))
    assert float(metrics["q_mean"]) == pytest.approx(now)
    assert float(metrics["critic_loss"]) == pytest.approx((now - target) ** 2, rel=1e-5)


@pytest.mark.parametrize(
    ("b", "m", "k"),
    [(1, 1, 1), (37, 5, 8), (64, 25, 46), (3, 150, 150)],  # in one go, in parts, row by row
)
def test_loss_and_slope_equal_autograds(b: int, m: int, k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    critics = torch.randn(3, b, m, generator=generator, dtype=torch.float64) * 2
    target = torch.randn(b, k, generator=generator, dtype=torch.float64) * 2
    leaf, ours = critics.clone().requires_grad_(), critics.clone().requires_grad_()
    losses = torch.stack([pinball(critic, target) for critic in leaf])
    losses.sum().backward()
    each = quantile_huber(ours, target)
    each.sum().backward()
    torch.testing.assert_close(each, losses)
    torch.testing.assert_close(ours.grad, leaf.grad)
    torch.testing.assert_close(quantile_huber(critics[1], target), losses[1])
