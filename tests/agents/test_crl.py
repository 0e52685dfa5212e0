"""Contrastive RL beside a reference of loops, and what it does not look at."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from her_exp.agents.crl import closeness
from tests.agents.kit import OBSERVATION, batches, crl, see
from tests.agents.reference import Reference, act
from tests.equality import equal

TINY = 1e-6  # added to a squared distance


def loss_by_loops(logits: list[list[Any]], penalty: float) -> Any:
    """Eq. 5 of arXiv:2408.11052 and its mirror image, in the plainest words."""
    n, total = len(logits), torch.zeros((), dtype=torch.float64)
    for i in range(n):
        row = sum(torch.exp(logits[i][j]) for j in range(n))
        column = sum(torch.exp(logits[j][i]) for j in range(n))
        right = torch.exp(logits[i][i])
        total = total - (torch.log(right / row) + torch.log(right / column)) / 2
        total = total + penalty * torch.log(row) ** 2
    return total / n


def distances(does: Any, asks: Any) -> list[list[Any]]:
    return [
        [-torch.sqrt(((x - y) ** 2).sum() + TINY) for y in asks.double()] for x in does.double()
    ]


class Loops(Reference):
    """Encoders and policy, each by its own Adam."""

    def encode(self, state: Any, action: Any) -> tuple[Any, Any]:
        observation, goal = state[:, :OBSERVATION], state[:, OBSERVATION:]
        return self.net["phi"](torch.cat([observation, action], 1)), self.net["psi"](goal)

    def move(self, loss: Any, *names: str) -> None:
        for net in self.net.values():
            net.zero_grad(set_to_none=True)
        loss.backward()
        for name in names:
            self.adam[name].step()


@pytest.mark.parametrize(
    ("layer_norm", "others", "rows"),
    [
        (False, 0.5, range(6)),
        (True, 0.0, []),
        (True, 0.3, range(3)),
        (True, 0.25, [3, 7, 11]),  # the last rows are demonstrations: of either kind so many
    ],
)
def test_updates_are_those_of_a_loop(layer_norm: bool, others: float, rows: Any) -> None:
    agent = crl(
        layer_norm=layer_norm, actor_lr=1e-3, critic_lr=3e-3, logsumexp_penalty=0.3, action_l2=0.2,
        other_goals=others,
    )  # fmt: skip
    reference = Loops(agent, phi=3e-3, psi=3e-3, actor=1e-3)
    see(agent)
    for batch in batches(crl, 4, size=12):
        if 11 in rows:
            batch = batch._replace(demonstrated=(torch.arange(12) > 6).float())
        told = {name: float(value) for name, value in agent.update(batch).items()}
        state, _ = reference.states(batch)
        logits = distances(*reference.encode(state, act(batch)))
        own = [logits[i][i].item() for i in range(12)]
        found = sum(own[i] == max(x.item() for x in logits[i]) for i in range(12))
        critic_loss = loss_by_loops(logits, 0.3)
        reference.move(critic_loss, "phi", "psi")
        for i in rows:  # which ask for the goal of the row before them
            state[i, OBSERVATION:] = reference.states(batch)[0][i - 1, OBSERVATION:]
        action = torch.tanh(reference.net["actor"](state))
        logits = distances(*reference.encode(state, action))
        actor_loss = 0.2 * (action**2).mean() - sum(logits[i][i] for i in range(12)) / 12
        reference.move(actor_loss, "actor")
        expected = {
            "critic_loss": critic_loss.item(), "q_mean": sum(own) / 12, "found_share": found / 12,
            "actor_loss": actor_loss.item(),
        }  # fmt: skip
        assert told == pytest.approx(expected, rel=1e-4)
    reference.assert_same()


def test_the_slope_is_finite_where_two_are_the_same() -> None:
    does = torch.ones(3, 5, requires_grad=True)
    closeness(does, torch.ones(4, 5)).sum().backward()
    assert does.grad is not None
    assert does.grad.isfinite().all()


def test_rewards_ends_and_next_states_have_no_part() -> None:
    agents = [crl(reward_range=None), crl(reward_range=(-1.0, 0.0), gamma=0.5)]
    for number, agent in enumerate(agents):
        see(agent)
        for batch in batches(crl, 3):
            nothing = {
                name: torch.full_like(getattr(batch, name), math.nan)
                for name in ("reward", "terminated", "next_observation")
            }
            agent.update(batch._replace(**nothing) if number else batch)
        assert agent.return_range is None  # what it calls q_mean is no return
    assert equal(*(agent.state_dict() for agent in agents))
