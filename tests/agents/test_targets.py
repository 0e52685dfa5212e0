"""Targets of DDPG and DQN against values computed by hand, and target networks that follow."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from her_exp.limits import target_range
from tests.agents.kit import ACTIONS, ALL, BOTH, FIRST, answer, batches, dqn, networks, one_row
from tests.equality import equal

pytestmark = pytest.mark.usefixtures("one_thread")

# --- targets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward_range", "gamma", "expected"),
    [
        ((-1.0, 0.0), 0.98, (-50.0, 0.0)),
        ((0.0, 1.0), 0.98, (0.0, 50.0)),
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
    ("reward_range", "reward", "terminated", "next_value", "target"),
    [
        ((-1.0, 0.0), -1.0, 0.0, -2.0, -1.0 + 0.9 * -2.0),
        ((-1.0, 0.0), -1.0, 1.0, -2.0, -1.0),  # terminated: nothing follows
        ((-1.0, 0.0), 0.0, 1.0, -2.0, 0.0),
        ((-1.0, 0.0), -1.0, 0.0, -30.0, -10.0),  # clipped to -1 / (1 - 0.9)
        ((-1.0, 0.0), 0.0, 0.0, 30.0, 0.0),
        ((0.0, 1.0), 1.0, 0.0, 30.0, 10.0),
        ((0.0, 1.0), 0.0, 0.0, -30.0, 0.0),
        (None, -1.0, 0.0, -30.0, -28.0),  # undeclared: as it is
        (None, 1.0, 0.0, 30.0, 28.0),
    ],
)
def test_targets(
    make: Any, reward_range: Any, reward: float, terminated: float, next_value: float, target: float
) -> None:
    agent = make(reward_range=reward_range, gamma=0.9)
    now = -3.0
    many = ACTIONS if make is dqn else 1
    online, follower = ("q", "target_q") if make is dqn else ("critic", "target_critic")
    answer(getattr(agent.nets, online), *[now] * many)
    answer(getattr(agent.nets, follower), *[next_value] * many)
    row = one_row(batches(make)[0], reward=reward, terminated=terminated)
    metrics = agent.update(row)
    assert float(metrics["q_mean"]) == pytest.approx(now)
    assert float(metrics["critic_loss"]) == pytest.approx((now - target) ** 2, rel=1e-5)


@BOTH
def test_clipping_of_targets_can_be_switched_off(make: Any) -> None:
    agent = make(clip_targets=False, gamma=0.9)
    follower = agent.nets.target_q if make is dqn else agent.nets.target_critic
    answer(
        agent.nets.q if make is dqn else agent.nets.critic, *[0.0] * (ACTIONS if make is dqn else 1)
    )
    answer(follower, *[-30.0] * (ACTIONS if make is dqn else 1))
    metrics = agent.update(one_row(batches(make)[0], reward=-1.0, terminated=0.0))
    assert float(metrics["critic_loss"]) == pytest.approx(28.0**2, rel=1e-5)


@pytest.mark.parametrize(("double", "value"), [(True, -2.0), (False, 7.0)])
def test_double_dqn_chooses_by_the_network_and_values_by_the_target(
    double: bool, value: float
) -> None:
    agent = dqn(double=double, reward_range=None, gamma=0.5)
    answer(agent.nets.q, 0.0, 5.0, 1.0)
    answer(agent.nets.target_q, 7.0, -2.0, 3.0)
    row = one_row(batches(dqn)[0], reward=0.0, terminated=0.0, action=FIRST + 2)
    metrics = agent.update(row)
    assert float(metrics["q_mean"]) == 1.0  # the value of the action taken
    assert float(metrics["critic_loss"]) == pytest.approx((1.0 - 0.5 * value) ** 2)


# --- targets that follow -----------------------------------------------------------------------


@ALL
def test_targets_start_as_copies_and_move_by_tau(make: Any) -> None:
    agent = make(tau=0.3, target_every=1)
    first = before = networks(agent)
    for network, target in before.values():
        assert equal(network, target)
    for batch in batches(make, 2):  # the policies of some move in every second update
        agent.update(batch)
        for name, (network, target) in networks(agent).items():
            for new, old, now in zip(network, before[name][1], target, strict=True):
                torch.testing.assert_close(now, 0.7 * old + 0.3 * new, atol=1e-7, rtol=1e-6)
        before = networks(agent)
    for name, (network, _) in before.items():
        assert not equal(network, first[name][0])


@ALL
def test_target_every(make: Any) -> None:
    agent = make(tau=1.0, target_every=3)
    before = networks(agent)
    for number, batch in enumerate(batches(make, 7), start=1):
        agent.update(batch)
        for name, (network, target) in networks(agent).items():
            if number % 3 == 0:
                assert equal(target, network)
                before[name] = (network, target)
            else:
                assert equal(target, before[name][1])
