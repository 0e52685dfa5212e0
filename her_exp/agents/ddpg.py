"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971), goal-conditioned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from her_exp.agents.base import Learned
from her_exp.agents.box import Cloning, DeterministicAgent
from her_exp.agents.engine import Move
from her_exp.limits import Count, NotNegative, Positive
from her_exp.types import Metrics


def joined(state: Tensor, action: Tensor) -> Tensor:
    """Return what a critic looks at, (b, o + g + a)."""
    return torch.cat([state, action], dim=-1)


@dataclass(kw_only=True, eq=False, repr=False)
class DDPG(Cloning, DeterministicAgent):
    """A deterministic policy and one critic, for Box actions of any bounds.

    Settings: see `conf/agent/ddpg.yaml`.
    """

    targets = ("critic", "actor")
    tunable: ClassVar[tuple[str, ...]] = ("gamma", "tau", "action_l2", "cloning_weight")

    policy_every: Count = 1
    actor_lr: Positive = 2e-3
    critic_lr: Positive = 2e-3
    action_l2: NotNegative = 0.0
    action_l2_on: Literal["output", "preactivation"] = "output"

    def moves(self) -> Sequence[Move]:
        """First the critic, then the policy."""
        critic = Move("critic_loss", {"critic": "critic_lr"})
        return critic, Move("actor_loss", {"actor": "actor_lr"})

    def networks(self) -> dict[str, nn.Module]:
        """Return policy and critic."""
        actor = self.make_network(self.state_dim, self.action_dim)
        return {"critic": self.make_critic(), "actor": actor}

    def make_critic(self) -> nn.Module:
        """Return a new critic: (b, o + g + a) to (b, 1), or several, to (n, b, 1)."""
        return self.make_network(self.state_dim + self.action_dim, 1)

    def critic_loss(
        self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any
    ) -> tuple[Tensor, Metrics]:
        """The squared distance to the target, meant over the batch; of several critics the sum."""
        target = self.bootstrap(batch, self.next_value(nets, batch, noise, s), s)
        q = nets.critic(joined(batch.state, batch.action)).squeeze(-1)
        error = (q - target).square().mean(-1)
        return error.sum(), {"critic_loss": error.detach().mean(), "q_mean": q.detach().mean()}

    def next_value(self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any) -> Tensor:
        """What the policy is worth in the next states, (b,)."""
        action = torch.tanh(nets.target_actor(batch.next_state))
        value: Tensor = nets.target_critic(joined(batch.next_state, action)).squeeze(-1)
        return value

    def actor_loss(
        self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any
    ) -> tuple[Tensor, Metrics]:
        """Minus the value of the policy's actions, and a penalty on what tanh gives or what goes into it."""
        raw = nets.actor(batch.state)
        action = torch.tanh(raw)
        large = action if self.action_l2_on == "output" else raw
        values = self.judge(nets, batch.state, action)
        loss = s.action_l2 * large.square().mean() - values.mean()
        return self.with_cloning(loss, {}, batch, nets, s, action, values)

    def judge(self, nets: Any, state: Tensor, action: Tensor) -> Tensor:
        """Return the values (b, 1) by which the policy is judged."""
        return self.judged(nets.critic(joined(state, action)))

    def judged(self, values: Tensor) -> Tensor:
        """Return those of the critic's outputs by which the policy is judged."""
        return values

    def skipped(self) -> Sequence[str]:
        """The policy moves once in `policy_every` updates."""
        return () if self.takes_turn(self.policy_every) else ("actor_loss",)
