"""Contrastive RL (Eysenbach et al. 2022, arXiv:2206.07568): learns to reach goals, and sees no reward.

A row of a batch is a step and a goal that was reached after it; a step and another row's goal are a pair by
chance. Telling the ones from the others, two encoders learn how likely a step is to lead to a goal, and the
policy climbs that. Distance, loss and penalty: JaxGCRL (Bortkiewicz et al. 2024, arXiv:2408.11052), made deep
by Wang et al. 2025 (arXiv:2503.14858).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from her_exp.agents.base import Learned
from her_exp.agents.box import Cloning, DeterministicAgent
from her_exp.agents.ddpg import joined
from her_exp.agents.engine import Move
from her_exp.limits import Count, NotNegative, Positive, Share
from her_exp.types import Metrics


def distance(squares: Tensor) -> Tensor:
    """Return the root of squared distances, which has a slope at 0 too."""
    return squares.add(1e-6).sqrt()


def closeness(does: Tensor, asks: Tensor) -> Tensor:
    """Return minus the Euclidean distance of each of `does` (n, d) to each of `asks` (m, d), (n, m)."""
    squares = does.square().sum(-1, keepdim=True) + asks.square().sum(-1) - 2.0 * does @ asks.mT
    return -distance(squares.clamp(min=0.0))


def contrast(logits: Tensor, penalty: Any) -> Tensor:
    """Return the symmetric InfoNCE loss of logits (b, b), whose diagonal holds the true pairs, 0-d.

    Each step is to find its goal among the columns, and each goal its step among the rows. By the first
    alone a logit may hold anything that depends on the step, its action included; by the second it may not.
    `penalty` times the mean square of the steps' logsumexp keeps logits where they can be compared.
    """
    own = logits.diagonal(dim1=-2, dim2=-1)
    of_steps, of_goals = logits.logsumexp(-1), logits.logsumexp(-2)
    unlike = (0.5 * (of_steps + of_goals) - own).mean()
    loss: Tensor = unlike + penalty * of_steps.square().mean()
    return loss


@dataclass(kw_only=True, eq=False, repr=False)
class CRL(Cloning, DeterministicAgent):
    """A deterministic policy, an encoder of steps and one of goals, for Box actions of any bounds.

    Settings: see `conf/agent/crl.yaml`. Rewards, ends and `gamma` have no part in it: how far ahead it looks
    says the buffer's strategy, and every goal of a batch must be one that was reached.
    """

    tunable = (*DeterministicAgent.tunable, "logsumexp_penalty", "action_l2", "cloning_weight")
    #: Every goal of a batch is taken for one that was reached after its step (`config/rules.py`).
    learns_from_reached: ClassVar[bool] = True

    width: Count = 64
    logsumexp_penalty: NotNegative = 0.1
    other_goals: Share = 0.5
    actor_lr: Positive = 2e-3
    critic_lr: Positive = 2e-3
    action_l2: NotNegative = 0.0

    def prepare(self) -> None:
        """Say that its values stand for no return."""
        super().prepare()
        self.return_range = None

    def moves(self) -> Sequence[Move]:
        """First both encoders, by one loss, then the policy."""
        encoders = {"phi": "critic_lr", "psi": "critic_lr"}
        return Move("critic_loss", encoders), Move("actor_loss", {"actor": "actor_lr"})

    def networks(self) -> dict[str, nn.Module]:
        """Return the encoder of steps, phi, that of goals, psi, and the policy."""
        spaces = self.spaces
        return {
            "phi": self.make_network(spaces.observation_dim + self.action_dim, self.width),
            "psi": self.make_network(spaces.goal_dim, self.width),
            "actor": self.make_network(self.state_dim, self.action_dim),
        }

    def parts_of(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return observations (b, o) and goals (b, g) of states (b, o + g)."""
        parts = [self.spaces.observation_dim, self.spaces.goal_dim]
        observation, goal = torch.split(state, parts, dim=-1)
        return observation, goal

    def critic_loss(
        self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any
    ) -> tuple[Tensor, Metrics]:
        """How badly steps and goals find each other within the batch."""
        observation, goal = self.parts_of(batch.state)
        logits = closeness(nets.phi(joined(observation, batch.action)), nets.psi(goal))
        own = logits.diagonal(dim1=-2, dim2=-1)
        found = (own >= logits.amax(-1)).float().mean()
        return contrast(logits, s.logsumexp_penalty), {"q_mean": own.mean(), "found_share": found}

    def actor_loss(
        self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any
    ) -> tuple[Tensor, Metrics]:
        """How far the policy's actions lie from what they are asked, and a penalty on large ones.

        What a step is asked is its own goal or, of a share `other_goals` of the rows, the goal of another:
        goals that lie farther than those that its episode came to. A demonstrated action is for its own.
        """
        observation, goal = self.parts_of(batch.state)
        others = int(self.other_goals * goal.shape[-2])
        if batch.demonstrated is None:
            goal = torch.cat([goal.roll(1, -2)[:others], goal[others:]])
        else:  # the last rows are demonstrations: some of either kind are asked others
            count = torch.arange(goal.shape[-2] + 1, device=goal.device) * others // goal.shape[-2]
            goal = torch.where(count.diff().bool().unsqueeze(-1), goal.roll(1, -2), goal)
        asked = joined(observation, goal)
        action = torch.tanh(nets.actor(asked))
        values = self.judge(nets, asked, action)
        loss = s.action_l2 * action.square().mean() - values.mean()
        if self.clones(batch) and others:
            action = torch.tanh(nets.actor(batch.state))
            values = self.judge(nets, batch.state, action)
        return self.with_cloning(loss, {}, batch, nets, s, action, values)

    def judge(self, nets: Any, state: Tensor, action: Tensor) -> Tensor:
        """Return how near the actions lead to the goals: minus the distance, (b, 1)."""
        observation, goal = self.parts_of(state)
        gap = nets.phi(joined(observation, action)) - nets.psi(goal)
        return -distance(gap.square().sum(-1, keepdim=True))
