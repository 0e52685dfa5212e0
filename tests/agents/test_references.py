"""Updates of every agent: against the losses of their papers by autograd, and their targets by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from her_exp.learning.quantiles import quantile_huber
from tests.agents.kit import (
    ACTIONS,
    ALL,
    BOTH,
    FIRST,
    answer,
    batches,
    ddpg,
    dqn,
    one_row,
    qrdqn,
    sac,
    see,
    td3,
    tqc,
)
from tests.agents.reference import Reference, Script, act, both, drawn, pinball

VARIANTS = pytest.mark.parametrize(
    "changes",
    [
        {"tau": 0.1},
        {"tau": 1.0, "gamma": 0.5, "target_every": 3},
        {"tau": 0.1, "layer_norm": True, "grad_clip_norm": 0.05},
    ],
    ids=["plain", "targets", "norm"],
)
RATES = {"actor": 1e-3, "critic": 2e-3}
TWO_OF_THREE = {"n_critics": 3, "target_critics": 2}


def same(metrics: Mapping[str, Any], **expected: Any) -> None:
    for name, value in expected.items():
        wanted = float(torch.as_tensor(value).detach())
        assert float(metrics[name]) == pytest.approx(wanted, rel=1e-4, abs=1e-5), name


@VARIANTS
@pytest.mark.parametrize(
    ("make", "more"),
    [
        (ddpg, {"action_l2": 0.7, "policy_every": 2}),
        (ddpg, {"action_l2": 0.7, "action_l2_on": "preactivation"}),
        (td3, {"n_critics": 1, "target_noise_std": 2.0, "target_noise_clip": 1.1}),
        (td3, TWO_OF_THREE | {"action_l2": 0.7}),
    ],
)
def test_deterministic_policies(make: Any, more: Any, changes: dict[str, Any]) -> None:
    agent = make(actor_lr=1e-3, critic_lr=2e-3, **{"gamma": 0.9} | changes | more)
    reference = Reference(agent, **RATES)
    net, target, critics = reference.net, reference.target, reference.critics
    script = agent.noise = Script("target_critics" in more)
    see(agent)
    for number, batch in enumerate(batches(make, 6), start=1):
        metrics = agent.update(batch)
        state, after = reference.states(batch)
        with torch.no_grad():
            action = torch.tanh(target["actor"](after))
            asked = critics
            if make is td3:
                cut = agent.target_noise_clip
                noise = (agent.target_noise_std * script.again()).clamp(-cut, cut)
                action = (action + noise).clamp(-1, 1)
                asked = [critics[i] for i in script.asked]
            y = reference.y(batch, both(target, asked, after, action).amin(0))
            y = y.clamp(*reference.range)
        values = both(net, critics, state, act(batch))
        losses = ((values - y) ** 2).mean((1, 2))
        reference.step("critic", losses.sum())
        same(metrics, critic_loss=losses.mean(), q_mean=values.mean())
        assert ("actor_loss" in metrics) == (number % agent.policy_every == 0)
        if "actor_loss" in metrics:
            raw = net["actor"](state)
            choice = torch.tanh(raw)
            large = raw if "action_l2_on" in more else choice
            loss = agent.action_l2 * (large**2).mean()
            loss = loss - both(net, critics[:1], state, choice).mean()
            reference.step("actor", loss)
            same(metrics, actor_loss=loss)
        reference.follow()
    reference.assert_same()


@VARIANTS
@pytest.mark.parametrize(
    ("make", "more"),
    [
        (sac, {"entropy": 0.2, "action_l2": 0.7}),
        (sac, TWO_OF_THREE | {"target_entropy": -1.5}),
        (sac, {"policy_every": 2, "clip_targets": True}),
        (sac, TWO_OF_THREE | {"clip_targets": "value"}),
        (tqc, {"drop_quantiles": 2, "clip_targets": "value"}),
        (tqc, {"drop_quantiles": 0, "entropy": 0.2}),
    ],
)
def test_soft_policies(make: Any, more: Any, changes: dict[str, Any]) -> None:
    settings = {"gamma": 0.9, "entropy_lr": 5e-3, "entropy_start": 0.3} | changes | more
    agent = make(actor_lr=1e-3, critic_lr=2e-3, **settings)
    if bounded := more.get("clip_targets") == "value":  # some promise what no reward can pay
        with torch.no_grad():
            for network in (*agent.nets.critic.networks, *agent.nets.target_critic.networks):
                network.layers[-1].bias += 0.2
    reference = Reference(agent, **RATES)
    net, target, critics = reference.net, reference.target, reference.critics
    log_alpha = torch.tensor(math.log(more.get("entropy", 0.3)), requires_grad=True)
    adam = torch.optim.Adam([log_alpha], lr=5e-3)
    script = agent.noise = Script("target_critics" in more)
    see(agent)
    for number, batch in enumerate(batches(make, 4), start=1):
        metrics = agent.update(batch)
        alpha = log_alpha.exp().detach()
        state, after = reference.states(batch)
        with torch.no_grad():
            action, log_prob = drawn(net["actor"](after), script.again())
            values = both(target, [critics[i] for i in script.asked], after, action)
            if make is tqc:
                pooled = torch.cat(list(values), 1).sort(1).values
                best = pooled[:, : len(critics) * (5 - more["drop_quantiles"])]
            else:
                best = values.amin(0)
            if bounded:  # REDQ+HER+BQ: before the entropy
                assert number > 1 or (best > reference.range[1]).any()
                best = best.clamp(*reference.range)
            y = reference.y(batch, best - alpha * log_prob[:, None])
            if more.get("clip_targets") is True:
                y = y.clamp(*reference.range)
        values = both(net, critics, state, act(batch))
        if make is tqc:
            losses = torch.stack([pinball(critic, y) for critic in values])
        else:
            losses = ((values - y) ** 2).mean((1, 2))
        reference.step("critic", losses.sum())
        same(metrics, critic_loss=losses.mean(), q_mean=values.mean())
        assert ("actor_loss" in metrics) == (number % agent.policy_every == 0)
        if "actor_loss" in metrics:
            action, log_prob = drawn(net["actor"](state), script.again())
            values = both(net, critics, state, action)
            mean = make is tqc or "target_critics" in more
            worth = values.mean((0, 2)) if mean else values.amin(0)[:, 0]
            loss = (alpha * log_prob - worth).mean() + agent.action_l2 * (action**2).mean()
            reference.step("actor", loss)
            same(metrics, actor_loss=loss, entropy=-log_prob.mean(), entropy_temperature=alpha)
            if "entropy" not in more:
                aim = more.get("target_entropy", -2.0)
                log_alpha.grad = None
                (-log_alpha * (log_prob.detach() + aim).mean()).backward()
                adam.step()
        reference.follow()
    reference.assert_same()
    assert float(agent.temperature) == pytest.approx(math.exp(log_alpha.item()), rel=1e-5)


@VARIANTS
@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("duel", [True, False])
@pytest.mark.parametrize("make", [dqn, qrdqn])
def test_discrete_actions(make: Any, duel: bool, double: bool, changes: dict[str, Any]) -> None:
    agent = make(lr=2e-3, double=double, dueling=duel, **{"gamma": 0.9} | changes)
    reference = Reference(agent, q=2e-3)
    net, target = reference.net["q"], reference.target["q"]
    see(agent)

    def grid(net: Any, state: torch.Tensor) -> torch.Tensor:
        outputs = net(state).reshape(len(state), -1, 5 if make is qrdqn else 1)
        if not duel:
            return outputs
        value, advantage = outputs[:, :1], outputs[:, 1:]
        return value + advantage - advantage.mean(1, keepdim=True)

    for batch in batches(make, 4):
        metrics = agent.update(batch)
        state, after = reference.states(batch)
        rows = torch.arange(len(batch.action))
        with torch.no_grad():
            values = grid(target, after)
            best = (grid(net, after) if double else values).mean(2).argmax(1)
            y = reference.y(batch, values[rows, best]).clamp(*reference.range)
        q = grid(net, state)[rows, batch.action - FIRST]
        loss = pinball(q, y) if make is qrdqn else ((q - y) ** 2).mean()
        reference.step("q", loss)
        reference.follow()
        same(metrics, critic_loss=loss, q_mean=q.mean())
    reference.assert_same()


@BOTH
@pytest.mark.parametrize(
    ("settings", "reward", "terminated", "next_value", "target"),
    [
        ({}, -1.0, 0.0, -2.0, -1.0 + 0.9 * -2.0),
        ({}, -1.0, 1.0, -2.0, -1.0),  # terminated: nothing follows
        ({}, -2.71, 1.0 - 0.9**2, -2.0, -2.71 + 0.9**3 * -2.0),  # three steps as one
        ({}, -1.0, 0.0, -30.0, -10.0),  # clipped to -1 / (1 - 0.9)
        ({}, 0.0, 0.0, 30.0, 0.0),
        ({"reward_range": (0.0, 1.0)}, 1.0, 0.0, 30.0, 10.0),
        ({"reward_range": (0.5, 1.0)}, 0.5, 1.0, 30.0, 0.5),  # an episode may end at once
        ({"reward_range": (-3.0, -1.0)}, -1.0, 1.0, -30.0, -1.0),
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


@ALL
def test_learning_rates_fall_to_a_tenth_at_each_milestone(make: Any) -> None:
    falls = make(lr_milestones=(150, 200, 900))
    rates = {name: rate for name, rate in vars(falls.settings).items() if name.endswith("lr")}
    low, high = make(**{name: rate / 100 for name, rate in rates.items()}), make()
    for agent in (falls, low, high):
        see(agent, steps=200)
        for batch in batches(make, 3):
            agent.update(batch)
    for name, learner in falls.learners.items():
        torch.testing.assert_close(learner.vector, low.learners[name].vector, rtol=1e-6, atol=1e-7)
        assert (learner.vector - high.learners[name].vector).abs().max() > 1e-4
