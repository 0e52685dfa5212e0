"""Soft actor-critic (Haarnoja et al. 2018, arXiv:1801.01290 and 1812.05905), goal-conditioned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from her_exp.agents.base import Learned
from her_exp.agents.box import BoxAgent, Cloning
from her_exp.agents.ddpg import joined
from her_exp.agents.engine import Move
from her_exp.agents.networks import Several, Temperature, squash
from her_exp.agents.td3 import chosen
from her_exp.learning.noise import UpdateNoise
from her_exp.limits import Aim, AtMost, Count, NotNegative, Positive
from her_exp.types import Array, Metrics


@dataclass(kw_only=True, eq=False, repr=False)
class SAC(Cloning, BoxAgent):
    """A squashed Gaussian policy that is paid for its entropy, and several critics.

    Settings: see `conf/agent/sac.yaml`. Without `target_critics` the smallest of all critics is the target,
    and what the policy climbs; with it the smallest of so many, drawn anew for each update, is the target,
    and the policy climbs the mean of all (REDQ, Chen et al. 2021, arXiv:2101.05982).
    """

    targets = ("critic",)
    tunable = ("gamma", "tau", "action_l2", "cloning_weight", "fixed_entropy", "target_entropy")
    apart = (*BoxAgent.apart, "entropy", "entropy_start")

    n_critics: Count = 2
    target_critics: Annotated[Count | None, AtMost("n_critics")] = None
    policy_every: Count = 1
    actor_lr: Positive = 2e-3
    critic_lr: Positive = 2e-3
    entropy: NotNegative | Literal["auto"] = "auto"
    entropy_start: Positive = 0.1
    entropy_lr: Positive = 2e-3
    target_entropy: Aim | Literal["auto"] = "auto"
    action_l2: NotNegative = 0.0
    clip_targets: bool | Literal["value"] = False

    def prepare(self) -> None:
        """Say what moves, and what entropy is worth and aimed at."""
        super().prepare()
        self.parts["noise"] = self.noise = UpdateNoise(self._update_seed, torch.device(self.device))
        self.learns = isinstance(self.entropy, str)
        self.fixed_entropy = 0.0 if isinstance(self.entropy, str) else self.entropy
        if isinstance(self.target_entropy, str):
            self.target_entropy = -float(self.action_dim)
        self.return_range = self._soft_range()

    def _soft_range(self) -> tuple[float, float] | None:
        """Return `return_range` with what entropy adds; None where its worth is learned and may grow.

        No policy on [-1, 1]^d has more entropy than the uniform one, d log 2. Targets are clipped,
        where that is asked for, to what rewards alone can pay.
        """
        if self.return_range is None or self.learns:
            return None
        low, high = self.return_range
        return low, high + self.fixed_entropy * self.action_dim * math.log(2.0) / (1.0 - self.gamma)

    def moves(self) -> Sequence[Move]:
        """First the critics, then the policy and, by the same loss, the temperature."""
        rates = {"actor": "actor_lr"} | ({"temperature": "entropy_lr"} if self.learns else {})
        return Move("critic_loss", {"critic": "critic_lr"}), Move("actor_loss", rates)

    def networks(self) -> dict[str, nn.Module]:
        """Return policy, critics and, if it is learned, temperature."""
        inputs, outputs = self.state_dim + self.action_dim, self.critic_outputs
        actor = self.make_network(self.state_dim, 2 * self.action_dim)
        critic = Several([self.make_network(inputs, outputs) for _ in range(self.n_critics)])
        learned = {"temperature": Temperature(self.entropy_start)} if self.learns else {}
        return {"critic": critic, "actor": actor, **learned}

    @property
    def critic_outputs(self) -> int:
        """Numbers that each critic gives."""
        return 1

    def draw(self, size: int, skip: Sequence[str]) -> dict[str, Any]:
        """Noise of the policy in the next states and in these, and the critics that are asked."""
        noise = {"next": self.noise.normal(size, self.action_dim)}
        noise |= self.noise.choose(self.n_critics, self.target_critics)
        if "actor_loss" not in skip:
            noise["now"] = self.noise.normal(size, self.action_dim)
        return noise

    @property
    def temperature(self) -> float:
        """What a nat of entropy is worth at present."""
        return float(self.worth(self.nets, self.settings))

    def worth(self, nets: Any, s: Any) -> Any:
        """What a nat of entropy is worth in reward; no gradient comes back through it."""
        return nets.temperature().detach().exp() if self.learns else s.fixed_entropy

    def critic_loss(
        self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any
    ) -> tuple[Tensor, Metrics]:
        """How far the critics are from the soft target, the sum over them."""
        action, log_prob = squash(nets.actor(batch.next_state), noise["next"])
        values = self.pool(nets.target_critic(joined(batch.next_state, action), *chosen(noise)))
        entropy = -(self.worth(nets, s) * log_prob).unsqueeze(-1)
        target = self.bootstrap(batch, values, s, entropy)
        q = nets.critic(joined(batch.state, batch.action))
        each = self.distance(q, target)
        return each.sum(), {"critic_loss": each.detach().mean(), "q_mean": q.detach().mean()}

    def pool(self, values: Tensor) -> Tensor:
        """Return the target critics' outputs (n, b, 1) as one, (b, 1)."""
        return values.amin(0)

    def distance(self, q: Tensor, target: Tensor) -> Tensor:
        """Return each critic's mean squared error, (n,), of outputs (n, b, 1) and target (b, 1)."""
        return (q - target).square().mean((-2, -1))

    def actor_loss(
        self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any
    ) -> tuple[Tensor, Metrics]:
        """Minus value and entropy of the policy; and of the temperature the entropy beyond its aim."""
        action, log_prob = squash(nets.actor(batch.state), noise["now"])
        worth, entropy = self.worth(nets, s), -log_prob.mean()
        values = self.judge(nets, batch.state, action)
        loss = s.action_l2 * action.square().mean() - values.mean() - worth * entropy
        told = {"actor_loss": loss, "entropy": entropy, "entropy_temperature": worth + 0 * entropy}
        if self.learns:  # its gradient by the temperature's logarithm is the entropy beyond the aim
            loss = loss + nets.temperature() * (entropy.detach() - s.target_entropy)
        return self.with_cloning(loss, told, batch, nets, s, action, values)

    def judge(self, nets: Any, state: Tensor, action: Tensor) -> Tensor:
        """Return the values by which the policy is judged: the smallest, (b, 1), or all, (n, b, 1)."""
        values: Tensor = nets.critic(joined(state, action))
        return values.amin(0) if self.target_critics is None else values

    def skipped(self) -> Sequence[str]:
        """The policy moves once in `policy_every` updates."""
        return () if self.takes_turn(self.policy_every) else ("actor_loss",)

    def mode(self, raw: Tensor) -> Tensor:
        """Return tanh of the mean."""
        return torch.tanh(raw[:, : self.action_dim])

    def choose(self, raw: Tensor, explore: bool) -> Array:
        """Return tanh of the mean (n, action_dim) or, exploring, actions drawn from the policy."""
        if explore:
            noise = self._generator.standard_normal((len(raw), self.action_dim), np.float32)
            action, _ = squash(raw, torch.from_numpy(noise).to(raw.device))
        else:
            action = self.mode(raw)
        return np.asarray(action.cpu().numpy())
