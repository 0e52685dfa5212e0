"""Twin delayed DDPG (Fujimoto et al. 2018, arXiv:1802.09477), goal-conditioned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from her_exp.agents.ddpg import DDPG
from her_exp.agents.ensemble import Ensemble, UpdateNoise, check_critics
from her_exp.agents.networks import MLP
from her_exp.limits import check_ranges
from her_exp.types import Batch


class TD3(DDPG):
    """DDPG with the smallest of several critics as target, at a smoothed action, and a slower policy.

    Arguments: see `conf/agent/td3.yaml`.

    Args:
        n_critics: critics; the policy climbs the first.
        target_critics: of so many, drawn anew for each update, the smallest is the target; None: of
            all. 2 of 10 is REDQ's target (Chen et al. 2021, arXiv:2101.05982).
        target_noise_std, target_noise_clip: of the target's action, in units of half the Box.
        policy_every, target_every: updates of the critics for each of the policy, and of the targets;
            it falls to the last of them. Where both are the same, so are the updates (the paper's way).
        **settings: those of `DDPG`.
    """

    def __init__(
        self,
        n_critics: int = 2,
        target_critics: int | None = None,
        target_noise_std: float = 0.2,
        target_noise_clip: float = 0.5,
        policy_every: int = 2,
        target_every: int = 2,
        **settings: Any,
    ):
        check_critics("TD3", n_critics, target_critics)
        check_ranges(
            "TD3", target_noise_std=target_noise_std, target_noise_clip=target_noise_clip
        )  # fmt: skip
        self.n_critics, self.target_critics = n_critics, target_critics
        super().__init__(target_every=target_every, policy_every=policy_every, **settings)
        self.target_noise_std, self.target_noise_clip = target_noise_std, target_noise_clip
        self.noise = UpdateNoise(self._update_seed, self.device)
        self.parts["noise"] = self.noise

    def make_critic(self) -> Ensemble:
        """Return new critics, (b, o + g + a) to (n_critics, b, 1)."""
        inputs = self.state_dim + self.action_dim
        return Ensemble([self.network(inputs, 1) for _ in range(self.n_critics)])

    @property
    def judge(self) -> MLP:
        """The critic that the policy climbs."""
        first: MLP = self.critic.networks[0]
        return first

    def _target(self, batch: Batch) -> Tensor:
        state = self.inputs(batch.next_observation, batch.goal)
        action = torch.tanh(self.target_actor(state))
        noise = self.noise.normal_like(action).mul_(self.target_noise_std)
        action += noise.clamp_(-self.target_noise_clip, self.target_noise_clip)
        which = self.noise.choose(self.n_critics, self.target_critics)
        values = self.target_critic(torch.cat([state, action.clamp_(-1.0, 1.0)], dim=-1), which)
        return self.bootstrap(batch.reward, batch.terminated, values.amin(0).squeeze(-1))
