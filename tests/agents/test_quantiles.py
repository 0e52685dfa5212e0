"""Quantile regression and dueling outputs: against autograd, by hand, and by what they are fitted to."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from her_exp.agents.qrdqn import QRDQN
from her_exp.agents.quantiles import quantile_huber
from tests.agents.kit import (
    ACTIONS,
    FIRST,
    Reference,
    answer,
    batches,
    dqn,
    dueling,
    inputs,
    one_row,
    qrdqn,
    same_parameters,
    see,
)


def by_the_paper(quantiles: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The mean over all pairs of one critic's (b, m) and the samples (b, k)."""
    m = quantiles.shape[1]
    place = ((torch.arange(m) + 0.5) / m).to(quantiles.dtype)
    error = target[:, None, :] - quantiles[:, :, None]
    huber = torch.where(error.abs() <= 1, 0.5 * error**2, error.abs() - 0.5)
    return ((place[:, None] - (error < 0).to(error.dtype)).abs() * huber).mean()


@pytest.mark.parametrize(
    ("b", "m", "k"),
    [(1, 1, 1), (37, 5, 8), (64, 25, 46), (3, 150, 150)],  # in one go, in parts, row by row
)
def test_loss_and_slope_equal_autograds(b: int, m: int, k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    critics = torch.randn(3, b, m, generator=generator, dtype=torch.float64) * 2
    target = torch.randn(b, k, generator=generator, dtype=torch.float64) * 2
    leaf = critics.clone().requires_grad_()
    losses = torch.stack([by_the_paper(critic, target) for critic in leaf])
    losses.sum().backward()
    ours = critics.clone().requires_grad_()
    each = quantile_huber(ours, target)
    each.sum().backward()
    torch.testing.assert_close(each, losses)
    torch.testing.assert_close(ours.grad, leaf.grad)
    torch.testing.assert_close(quantile_huber(critics[1], target), losses[1])


def test_a_pair_by_hand() -> None:
    # Places 1/4 and 3/4. Errors of the sample 0: 2 above the first output, 0.5 below the second.
    outputs = torch.tensor([[-2.0, 0.5]], requires_grad=True)
    loss = quantile_huber(outputs, torch.tensor([[0.0]]))
    (slope,) = torch.autograd.grad(loss, outputs)
    assert loss.item() == pytest.approx((0.25 * 1.5 + 0.25 * 0.125) / 2)
    assert slope[0].tolist() == pytest.approx([-0.25 / 2, 0.25 * 0.5 / 2])


def test_the_fit_is_at_the_quantiles() -> None:
    samples = torch.linspace(0, 1000, 1001)[None]  # wide beside the Huber loss's bound
    fitted = torch.full((1, 4), 500.0)
    for _ in range(4000):
        fitted.requires_grad_()
        (slope,) = torch.autograd.grad(quantile_huber(fitted, samples), fitted)
        fitted = fitted.detach() - 800.0 * slope
    assert fitted[0].tolist() == pytest.approx([125.0, 375.0, 625.0, 875.0], abs=3.0)


# --- the agents --------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("duel", [True, False])
@pytest.mark.parametrize("make", [dqn, qrdqn])
@pytest.mark.parametrize(
    "changes",
    [{}, {"layer_norm": True, "grad_clip_norm": 0.05}, {"tau": 1.0, "gamma": 0.5}],
    ids=["plain", "both", "tau"],
)
def test_updates_equal_the_reference(
    make: Any, duel: bool, double: bool, changes: dict[str, Any]
) -> None:
    settings = {"gamma": 0.9, "tau": 0.1, "layer_norm": False, "grad_clip_norm": None} | changes
    agent = make(lr=2e-3, double=double, dueling=duel, **settings)
    m = agent.quantiles
    reference = Reference(agent, {"q": 2e-3}, settings)
    see(agent)

    def grid(net: Any, state: torch.Tensor) -> torch.Tensor:
        outputs = net(state).reshape(len(state), -1, m)
        if not duel:
            return outputs
        value, advantage = outputs[:, :1], outputs[:, 1:]
        return value + advantage - advantage.mean(1, keepdim=True)

    for batch in batches(make, 4):
        metrics = agent.update(batch)
        net, target = reference.net["q"], reference.target["q"]
        state, after = reference.states(batch)
        rows = torch.arange(len(batch.action))
        with torch.no_grad():
            values = grid(target, after)
            best = (grid(net, after) if double else values).mean(2).argmax(1)
            rest = (1 - batch.terminated[:, None]) * values[rows, best]
            y = batch.reward[:, None] + agent.gamma * rest
            y = y.clamp(*reference.range)
        q = grid(net, state)[rows, batch.action - FIRST]
        loss = by_the_paper(q, y) if make is qrdqn else ((q - y) ** 2).mean()
        reference.step("q", loss)
        reference.follow()
        assert float(metrics["critic_loss"]) == pytest.approx(loss.item(), rel=1e-4)
        assert float(metrics["q_mean"]) == pytest.approx(q.mean().item(), abs=1e-5)
    same_parameters(agent, reference)


def test_quantile_targets_by_hand() -> None:
    agent = qrdqn(n_quantiles=2, gamma=0.5, double=False, reward_range=None)
    answer(agent.nets.q, *[0.0] * 6)
    answer(
        agent.nets.target_q, 0.0, 1.0, 9.0, -8.0, -2.0, -2.0
    )  # means 0.5, 0.5 and -2: the first wins
    metrics = agent.update(one_row(batches(qrdqn)[0], reward=-1.0, terminated=0.0))
    # Target quantiles -1 + 0.5 * (0, 1); outputs 0 with the places 1/4 and 3/4, both above them.
    huber = (0.5 + 0.125) / 2
    assert float(metrics["critic_loss"]) == pytest.approx((0.75 + 0.25) / 2 * huber)
    metrics = qrdqn_of_zeros().update(one_row(batches(qrdqn)[0], reward=-1.0, terminated=1.0))
    assert float(metrics["critic_loss"]) == pytest.approx(0.5 * 0.5)


def qrdqn_of_zeros() -> QRDQN:
    agent = qrdqn(n_quantiles=2)
    answer(agent.nets.q, *[0.0] * 6)
    answer(agent.nets.target_q, *[-50.0] * 6)
    return agent


def test_actions_are_judged_by_their_mean() -> None:
    agent = qrdqn(n_quantiles=3)
    answer(agent.nets.q, 0.0, 0.0, 9.0, 4.0, 4.0, 4.0, 5.0, 3.0, 3.0)
    assert set(agent.act(*inputs(5), explore=False)) == {FIRST + 1}


def test_dueling_outputs_by_hand() -> None:
    agent = dueling()
    outputs = torch.tensor([[10.0, 1.0, 2.0, 6.0]])
    assert agent.values(outputs)[0, :, 0].tolist() == [8.0, 9.0, 13.0]
    assert agent.nets.q.layers[-1].out_features == ACTIONS + 1
