"""TD3 against a plain reference and values computed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.actor_critics_kit import SETTINGS, VARIANTS, Script, act, both
from tests.agents.kit import (
    Reference,
    answer,
    batches,
    ddpg,
    one_row,
    sac,
    same_parameters,
    see,
    td3,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_slower_policy_is_td3s_of_one_critic_without_noise() -> None:
    settings = {"policy_every": 2, "target_every": 3, "actor_lr": 1e-3, "critic_lr": 2e-3}
    slow = ddpg(**settings)
    twin = td3(**settings, n_critics=1, target_noise_std=0.0)
    for mine, its in (
        (slow.nets.actor, twin.nets.actor), (slow.nets.target_actor, twin.nets.target_actor),
        (slow.nets.critic, twin.nets.critic.networks[0]),
        (slow.nets.target_critic, twin.nets.target_critic.networks[0]),
    ):  # fmt: skip
        its.load_state_dict(mine.state_dict())
    see(slow)
    see(twin)
    for number, batch in enumerate(batches(ddpg, 7), start=1):
        before = [p.clone() for p in slow.nets.actor.parameters()]
        metrics = slow.update(batch)
        twin.update(batch)
        moved = any(
            not torch.equal(a, b) for a, b in zip(before, slow.nets.actor.parameters(), strict=True)
        )
        assert moved == ("actor_loss" in metrics) == (number % 2 == 0)
    for mine, its in zip(slow.nets.actor.parameters(), twin.nets.actor.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-6)


@VARIANTS
@pytest.mark.parametrize(
    "more",
    [{}, {"n_critics": 3, "target_critics": 2, "action_l2": 0.7}, {"n_critics": 1}],
    ids=["twins", "two of three", "one"],
)
def test_td3_updates_equal_the_reference(changes: dict[str, Any], more: dict[str, Any]) -> None:
    settings = SETTINGS | changes
    agent = td3(actor_lr=1e-3, critic_lr=2e-3, policy_every=2, target_every=3, **settings, **more)
    names = [f"critic.{i}" for i in range(agent.n_critics)]
    reference = Reference(agent, dict.fromkeys(names, 2e-3) | {"actor": 1e-3}, settings)
    which = [[0, 2], [0, 1], [1, 2]] * 2 if "target_critics" in more else [None] * 6
    script = agent.noise = Script([list(w) if w else None for w in which])
    see(agent)
    for number, batch in enumerate(batches(td3, 6), start=1):
        metrics = agent.update(batch)
        net, target = reference.net, reference.target
        state, after = reference.states(batch)
        with torch.no_grad():
            noise = (0.2 * script.again()).clamp(-0.5, 0.5)
            next_action = (torch.tanh(target["actor"](after)) + noise).clamp(-1, 1)
            asked = [names[i] for i in which[number - 1] or range(len(names))]
            y = reference.y(batch, both(target, asked, after, next_action).amin(0)[:, 0])
        values = both(net, names, state, act(batch))[..., 0]
        losses = ((values - y) ** 2).mean(1)
        reference.step("critic", losses.sum())
        assert float(metrics["critic_loss"]) == pytest.approx(losses.mean().item(), rel=1e-4)
        assert float(metrics["q_mean"]) == pytest.approx(values.mean().item(), abs=1e-5)
        assert ("actor_loss" in metrics) == (number % 2 == 0)
        if number % 2 == 0:
            choice = torch.tanh(net["actor"](state))
            actor_loss = -both(net, ["critic.0"], state, choice).mean()
            actor_loss = actor_loss + more.get("action_l2", 0.0) * (choice**2).mean()
            reference.step("actor", actor_loss)
            assert float(metrics["actor_loss"]) == pytest.approx(actor_loss.item(), abs=1e-5)
        if number % 3 == 0:
            reference.follow()
    same_parameters(agent, reference)


@pytest.mark.parametrize(
    ("which", "value"), [(None, -5.0), ([0, 1], -4.0), ([0, 2], -5.0), ([1], -3.0)]
)
def test_the_smallest_of_the_chosen_critics_is_the_target(which: Any, value: float) -> None:
    for make in (td3, sac):
        agent = make(n_critics=3, gamma=0.5, **({"entropy": 0.0} if make is sac else {}))
        for critic, bias in zip(agent.nets.critic.networks, (0.0, 1.0, 2.0), strict=True):
            answer(critic, bias)
        for critic, bias in zip(agent.nets.target_critic.networks, (-4.0, -3.0, -5.0), strict=True):
            answer(critic, bias)
        agent.noise = Script([which])
        metrics = agent.update(one_row(batches(make)[0], reward=0.0, terminated=0.0))
        target = max(0.5 * value, -2.0) if make is td3 else 0.5 * value  # TD3's is clipped
        loss = np.mean([(q - target) ** 2 for q in (0.0, 1.0, 2.0)])
        assert float(metrics["critic_loss"]) == pytest.approx(loss, rel=1e-5)
        assert float(metrics["q_mean"]) == pytest.approx(1.0)


def test_smoothing_noise_is_cut_and_stays_in_the_box() -> None:
    agent = td3(target_noise_std=50.0, target_noise_clip=0.3)
    answer(agent.nets.target_actor, 0.0, math.atanh(0.9))
    seen = []
    agent.nets.target_critic.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    agent.update(batches(td3)[0])
    action = seen[0][:, -2:]
    assert set(np.round(action[:, 0].tolist(), 5)) == {-0.3, 0.3}
    assert set(np.round(action[:, 1].tolist(), 5)) == {0.6, 1.0}
