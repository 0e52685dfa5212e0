"""SAC and TQC against autograd on their papers' losses, and against values computed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.actor_critics_kit import SETTINGS, VARIANTS, Script, act, both, drawn
from tests.agents.kit import (
    HALF,
    MIDDLE,
    Reference,
    answer,
    batches,
    inputs,
    one_row,
    sac,
    same_parameters,
    see,
    tqc,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# --- SAC and TQC against the losses of their papers --------------------------------------------


def pinball(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The quantile Huber loss of each critic (n,), pair by pair as the paper writes it."""
    n, _, m = values.shape
    out = []
    for critic in range(n):
        total = torch.zeros(())
        for i in range(m):
            error = target - values[critic, :, i : i + 1]
            huber = torch.where(error.abs() <= 1, 0.5 * error**2, error.abs() - 0.5)
            total = total + (((i + 0.5) / m - (error < 0).float()).abs() * huber).mean()
        out.append(total / m)
    return torch.stack(out)


@VARIANTS
@pytest.mark.parametrize(
    ("make", "more"),
    [
        (sac, {}),
        (sac, {"entropy": 0.2, "action_l2": 0.7}),
        (sac, {"n_critics": 3, "target_critics": 2, "target_entropy": -1.5}),
        (sac, {"policy_every": 2, "clip_targets": True}),
        (sac, {"n_critics": 3, "target_critics": 2, "clip_targets": "value"}),
        (tqc, {"drop_quantiles": 2, "clip_targets": "value"}),
        (tqc, {"drop_quantiles": 2}),
        (tqc, {"drop_quantiles": 0, "entropy": 0.2}),
    ],
    ids=["sac", "fixed", "redq", "delayed", "bounded", "tqc bounded", "tqc", "tqc fixed"],
)
def test_soft_updates_equal_the_reference(
    make: Any, more: dict[str, Any], changes: dict[str, Any]
) -> None:
    settings = SETTINGS | changes
    agent = make(
        actor_lr=1e-3, critic_lr=2e-3, entropy_lr=5e-3, entropy_start=0.3, **settings, **more
    )
    if more.get("clip_targets") == "value":  # some values promise what no reward can pay
        with torch.no_grad():
            for critics in (agent.nets.critic, agent.nets.target_critic):
                for network in critics.networks:
                    network.layers[-1].bias += 0.2
    names = [f"critic.{i}" for i in range(agent.n_critics)]
    reference = Reference(agent, dict.fromkeys(names, 2e-3) | {"actor": 1e-3}, settings)
    log_alpha = torch.tensor(math.log(more.get("entropy", 0.3)), requires_grad=True)
    adam = torch.optim.Adam([log_alpha], lr=5e-3)
    which = [[0, 2], [0, 1], [1, 2], [0, 2]] if "target_critics" in more else [None] * 4
    script = agent.noise = Script([list(w) if w else None for w in which])
    see(agent)
    for number, batch in enumerate(batches(make, 4), start=1):
        metrics = agent.update(batch)
        net, target, alpha = reference.net, reference.target, log_alpha.exp().detach()
        state, after = reference.states(batch)
        with torch.no_grad():
            action, log_prob = drawn(net["actor"](after), script.again())
            asked = [names[i] for i in which[number - 1] or range(len(names))]
            values = both(target, asked, after, action)
            if make is tqc:
                pooled = torch.cat(list(values), 1).sort(1).values
                best = pooled[:, : len(names) * (5 - more["drop_quantiles"])]
            else:
                best = values.amin(0)
            if more.get("clip_targets") == "value":  # REDQ+HER+BQ: before the entropy
                assert number > 1 or (best > reference.range[1]).any()
                best = best.clamp(*reference.range)
            soft = best - alpha * log_prob[:, None]
            y = batch.reward[:, None] + agent.gamma * (1 - batch.terminated[:, None]) * soft
            if more.get("clip_targets") is True:
                y = y.clamp(*reference.range)
        values = both(net, names, state, act(batch))
        losses = pinball(values, y) if make is tqc else ((values - y) ** 2).mean((1, 2))
        reference.step("critic", losses.sum())
        assert float(metrics["critic_loss"]) == pytest.approx(losses.mean().item(), rel=1e-4)
        assert float(metrics["q_mean"]) == pytest.approx(values.mean().item(), abs=1e-5)
        if number % more.get("policy_every", 1):
            assert "actor_loss" not in metrics
        else:
            action, log_prob = drawn(net["actor"](state), script.again())
            values = both(net, names, state, action)
            mean = make is tqc or "target_critics" in more
            worth = values.mean((0, 2)) if mean else values.amin(0)[:, 0]
            l2 = more.get("action_l2", 0.0) * (action**2).mean()
            actor_loss = (alpha * log_prob - worth).mean() + l2
            reference.step("actor", actor_loss)
            assert float(metrics["actor_loss"]) == pytest.approx(actor_loss.item(), abs=1e-5)
            assert float(metrics["entropy"]) == pytest.approx(-log_prob.mean().item(), abs=1e-5)
            assert float(metrics["entropy_temperature"]) == pytest.approx(float(alpha), rel=1e-5)
            if "entropy" not in more:
                aim = more.get("target_entropy", -2.0)
                log_alpha.grad = None
                (-log_alpha * (log_prob.detach() + aim).mean()).backward()
                adam.step()
        reference.follow()
    same_parameters(agent, reference)
    assert float(agent.temperature) == pytest.approx(math.exp(log_alpha.item()), rel=1e-5)


def test_a_soft_target_by_hand() -> None:
    agent = sac(entropy=0.5, gamma=0.9, random_steps=0)
    answer(agent.nets.actor, 0.0, 0.0, math.log(0.5), 0.0)  # means 0 and 0, deviations 0.5 and 1
    for critic in agent.nets.critic.networks:
        answer(critic, 0.0)
    for critic in agent.nets.target_critic.networks:
        answer(critic, -2.0)
    script = agent.noise = Script()
    script.all[0] = torch.tensor([[1.0, 0.0]])
    metrics = agent.update(one_row(batches(sac)[0], reward=-1.0, terminated=0.0))
    # u = (0.5, 0): two normal densities, divided by 1 - tanh(u)^2
    log_prob = (
        -0.5 - math.log(0.5) - 0.5 * math.log(2 * math.pi) - math.log(1 - math.tanh(0.5) ** 2)
    )
    log_prob += -0.5 * math.log(2 * math.pi)
    target = -1.0 + 0.9 * (-2.0 - 0.5 * log_prob)
    assert float(metrics["critic_loss"]) == pytest.approx(target**2, rel=1e-5)
    agent.update(one_row(batches(sac)[0], reward=-1.0, terminated=1.0))


def test_terminated_cuts_value_and_entropy_alike() -> None:
    agent = sac(entropy=5.0)
    for critic in agent.nets.critic.networks:
        answer(critic, 0.0)
    metrics = agent.update(one_row(batches(sac)[0], reward=-1.0, terminated=1.0))
    assert float(metrics["critic_loss"]) == pytest.approx(1.0)


def test_the_truncated_target_by_hand() -> None:
    agent = tqc(n_quantiles=3, drop_quantiles=1)
    values = torch.tensor([[[-3.0, -1.0, 9.0]], [[-2.0, 8.0, -4.0]]])  # two critics, one row
    assert sorted(agent.pool(values)[0].tolist()) == [-4.0, -3.0, -2.0, -1.0]
    agent = tqc(n_quantiles=3, drop_quantiles=0)
    assert sorted(agent.pool(values)[0].tolist()) == [-4.0, -3.0, -2.0, -1.0, 8.0, 9.0]


def test_the_temperature_moves_the_entropy_to_its_aim() -> None:
    agent = sac(entropy_lr=0.01, entropy_start=0.2)
    answer(agent.nets.actor, 0.0, 0.0, 0.0, 0.0)  # an entropy above minus two
    agent.update(batches(sac)[0])
    assert float(agent.temperature) == pytest.approx(0.2 * math.exp(-0.01), rel=1e-4)
    agent = sac(entropy_lr=0.01, entropy_start=0.2)
    answer(agent.nets.actor, 0.0, 0.0, -6.0, -6.0)
    agent.update(batches(sac)[0])
    assert float(agent.temperature) == pytest.approx(0.2 * math.exp(0.01), rel=1e-4)


# --- actions -----------------------------------------------------------------------------------


def test_soft_actions() -> None:
    agent = sac(random_steps=0)
    answer(agent.nets.actor, 0.3, -0.2, math.log(0.5), math.log(0.1))
    mean = np.tanh([0.3, -0.2])
    np.testing.assert_allclose(
        agent.act(*inputs(3), explore=False), np.tile(mean * HALF + MIDDLE, (3, 1)), rtol=1e-6
    )
    tried = (agent.act(*inputs(20_000), explore=True) - MIDDLE) / HALF
    before = np.arctanh(tried.clip(-0.99999, 0.99999))
    np.testing.assert_allclose(before.mean(0), [0.3, -0.2], atol=0.02)
    np.testing.assert_allclose(before.std(0), [0.5, 0.1], rtol=0.03)
    assert abs(np.corrcoef(before.T)[0, 1]) < 0.03


def test_a_share_of_soft_actions_is_uniform() -> None:
    agent = sac(random_steps=0, random_action=0.3)
    answer(agent.nets.actor, 0.0, 0.0, -20.0, -20.0)
    tried = (agent.act(*inputs(20_000), explore=True) - MIDDLE) / HALF
    assert (np.abs(tried) > 1e-6).all(1).mean() == pytest.approx(0.3, abs=0.01)
