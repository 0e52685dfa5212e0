"""Updates of DDPG against a plain reference, and what holds of every agent's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from her_exp.types import Batch
from tests.agents.kit import (
    ALL,
    BOTH,
    HALF,
    MIDDLE,
    ON_DISCRETE,
    SETTINGS,
    Reference,
    answer,
    batches,
    ddpg,
    same_parameters,
    see,
)
from tests.equality import equal

pytestmark = pytest.mark.usefixtures("one_thread")

VARIANTS = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layer_norm": True},
        {"grad_clip_norm": 0.05},
        {"tau": 1.0, "gamma": 0.5},
        {"layer_norm": True, "grad_clip_norm": 0.3},
    ],
    ids=["plain", "layer_norm", "clip", "tau", "both"],
)


@VARIANTS
@pytest.mark.parametrize(
    ("action_l2", "on"), [(0.0, "output"), (0.7, "output"), (0.7, "preactivation")]
)
def test_ddpg_updates_equal_the_reference(
    changes: dict[str, Any], action_l2: float, on: str
) -> None:
    settings = {"gamma": 0.9, "tau": 0.1, "layer_norm": False, "grad_clip_norm": None} | changes
    rates = {"critic": 2e-3, "actor": 1e-3}
    agent = ddpg(action_l2=action_l2, action_l2_on=on, actor_lr=1e-3, critic_lr=2e-3, **settings)
    reference = Reference(agent, rates, settings)
    see(agent)

    def q(net: nn.Module, state: Any, action: Any) -> Any:
        return net(torch.cat([state, action], 1))[:, 0]

    for batch in batches(ddpg, 4):
        metrics = agent.update(batch)
        net, target = reference.net, reference.target
        state, after = reference.states(batch)
        action = (batch.action - torch.from_numpy(MIDDLE)) / torch.from_numpy(HALF)
        with torch.no_grad():
            y = reference.y(batch, q(target["critic"], after, torch.tanh(target["actor"](after))))
        value = q(net["critic"], state, action)
        critic_loss = ((value - y) ** 2).mean()
        reference.step("critic", critic_loss)
        raw = net["actor"](state)
        choice = torch.tanh(raw)
        large = choice if on == "output" else raw
        actor_loss = -q(net["critic"], state, choice).mean() + action_l2 * (large**2).mean()
        reference.step("actor", actor_loss)
        reference.follow()
        assert float(metrics["critic_loss"]) == pytest.approx(critic_loss.item(), rel=1e-4)
        assert float(metrics["actor_loss"]) == pytest.approx(actor_loss.item(), abs=1e-5)
        assert float(metrics["q_mean"]) == pytest.approx(value.mean().item(), abs=1e-5)
    same_parameters(agent, reference)


@pytest.mark.parametrize(("on", "size"), [("output", math.tanh(2.0)), ("preactivation", 2.0)])
def test_what_action_l2_is_on(on: str, size: float) -> None:
    """Where the critic is flat, the actor's loss and slope are the penalty's alone."""
    agent = ddpg(action_l2=0.3, action_l2_on=on, hidden_sizes=(), critic_lr=1e-9)
    answer(agent.nets.critic, 0.0)
    answer(agent.nets.actor, 2.0, -2.0)
    metrics = agent.update(batches(ddpg)[0])
    assert float(metrics["actor_loss"]) == pytest.approx(0.3 * size**2, rel=1e-4)
    inner = 1.0 if on == "preactivation" else 1.0 - math.tanh(2.0) ** 2
    by_bias = agent.learners["actor"].gradient[-2:]
    slope = 0.3 * 2 * size * inner / 2  # the mean is over both coordinates
    torch.testing.assert_close(by_bias, torch.tensor([slope, -slope]), rtol=1e-4, atol=0)


def test_an_action_l2_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="action_l2_on='outputs' must be output or preactivation"):
        ddpg(action_l2_on="outputs")


@ALL
def test_an_update_leaves_the_batch_alone(make: Any) -> None:
    agent = make()
    see(agent)
    for batch in batches(make, 2):
        kept = Batch(*(part.clone() for part in batch))
        agent.update(batch)
        assert equal(tuple(batch), tuple(kept))


@ALL
def test_metrics_are_detached_scalars(make: Any) -> None:
    agent = make()
    first, second = (agent.update(batch) for batch in batches(make, 2))
    assert {"critic_loss", "q_mean"} <= first.keys() <= second.keys()
    assert ("actor_loss" in second) == (make not in ON_DISCRETE)
    for value in [*first.values(), *second.values()]:
        assert isinstance(value, torch.Tensor)
        assert value.ndim == 0
        assert not value.requires_grad


def test_the_actors_step_crosses_the_critic_without_touching_it() -> None:
    agent = ddpg()
    see(agent)
    learner, seen = agent.learners["actor"], []
    minimize = learner.step

    def spy(*step: Any) -> None:
        def critic() -> list[Any]:
            both = [*agent.nets.critic.parameters(), *agent.nets.target_critic.parameters()]
            return [(p.detach().clone(), None if p.grad is None else p.grad.clone()) for p in both]

        before, actor = critic(), [p.detach().clone() for p in agent.nets.actor.parameters()]
        minimize(*step)
        seen.append(equal(before, critic()))
        assert not equal(actor, [p.detach() for p in agent.nets.actor.parameters()])

    learner.step = spy  # type: ignore[method-assign]
    for batch in batches(ddpg, 3):
        agent.update(batch)
    assert seen == [True] * 3


def test_gradients_are_clipped_by_their_norm_over_all_parameters() -> None:
    def norm(**settings: Any) -> float:
        agent = ddpg(**settings)
        agent.update(batches(ddpg)[0])
        return float(agent.learners["critic"].gradient.norm())

    free = norm()
    assert free > 0.1
    assert norm(grad_clip_norm=0.01) == pytest.approx(0.01, rel=1e-3)
    assert norm(grad_clip_norm=1e6) == pytest.approx(free)


@BOTH
def test_nbytes_is_a_little_less_than_the_smallest_network_takes(make: Any) -> None:
    """Weights, gradient and Adam's two moments, without biases."""
    agent = make()
    networks = [learner.network for learner in agent.learners.values()]
    smallest = 4 * min(sum(p.nbytes for p in network.parameters()) for network in networks)
    assert 0.8 * smallest < agent.nbytes(agent.spaces, SETTINGS["hidden_sizes"]) < smallest
