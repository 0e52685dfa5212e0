"""Twin delayed DDPG (Fujimoto et al. 2018, arXiv:1802.09477), goal-conditioned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from her_exp.agents.base import Learned
from her_exp.agents.ddpg import DDPG, joined
from her_exp.agents.networks import Several
from her_exp.learning.noise import UpdateNoise
from her_exp.limits import AtMost, Count, NotNegative


@dataclass(kw_only=True, eq=False, repr=False)
class TD3(DDPG):
    """DDPG with the smallest of several critics as target, at a smoothed action, and a slower policy.

    Settings: those of `DDPG`, and see `conf/agent/td3.yaml`. The policy climbs the first critic.
    """

    tunable = (*DDPG.tunable, "target_noise_std", "target_noise_clip")

    n_critics: Count = 2
    target_critics: Annotated[Count | None, AtMost("n_critics")] = None
    target_noise_std: NotNegative = 0.2
    target_noise_clip: NotNegative = 0.5
    policy_every: Count = 2
    target_every: Count = 2

    def prepare(self) -> None:
        """Make the stream of the target's noise."""
        super().prepare()
        self.parts["noise"] = self.noise = UpdateNoise(self._update_seed, torch.device(self.device))

    def make_critic(self) -> nn.Module:
        """Return new critics, (b, o + g + a) to (n_critics, b, 1)."""
        inputs = self.state_dim + self.action_dim
        return Several([self.make_network(inputs, 1) for _ in range(self.n_critics)])

    def draw(self, size: int, skip: Sequence[str]) -> dict[str, Any]:
        """Noise of the target's action, and the critics that are asked."""
        smooth = self.noise.normal(size, self.action_dim)
        return {"smooth": smooth, **self.noise.choose(self.n_critics, self.target_critics)}

    def next_value(self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any) -> Tensor:
        """The least of the chosen critics, at a smoothed action."""
        about = (noise["smooth"] * s.target_noise_std).clamp(
            -s.target_noise_clip, s.target_noise_clip
        )
        action = (torch.tanh(nets.target_actor(batch.next_state)) + about).clamp(-1.0, 1.0)
        values = nets.target_critic(joined(batch.next_state, action), *chosen(noise))
        least: Tensor = values.amin(0).squeeze(-1)
        return least

    def judged(self, values: Tensor) -> Tensor:
        """The first critic's."""
        return values[0]


def chosen(noise: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """Return the numbers of the critics that are asked, as an argument; none where that is all."""
    return (noise["which"],) if "which" in noise else ()
