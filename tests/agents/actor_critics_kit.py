"""What the references of TD3, SAC and TQC share: noise written down, torch's own squashed Gaussian."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from her_exp.agents.networks import LOG_STD
from tests.agents.kit import HALF, MIDDLE

VARIANTS = pytest.mark.parametrize(
    "changes",
    [{}, {"layer_norm": True}, {"grad_clip_norm": 0.05}, {"tau": 1.0, "gamma": 0.5}],
    ids=["plain", "layer_norm", "clip", "tau"],
)
SETTINGS: dict[str, Any] = {"gamma": 0.9, "tau": 0.1, "layer_norm": False, "grad_clip_norm": None}


class Script:
    """Noise and choices written down beforehand, in the place of an agent's own."""

    def __init__(self, which: list[list[int] | None] | None = None, size: int = 0):
        generator = torch.Generator().manual_seed(3)
        self.all = [torch.randn(32, 2, generator=generator) for _ in range(64)]
        self.which, self.drawn, self.read, self.asked = which, 0, 0, size

    def normal(self, rows: int, dim: int) -> torch.Tensor:
        self.drawn += 1
        return self.all[self.drawn - 1][:rows].clone()

    def choose(self, n: int, size: int | None) -> dict[str, torch.Tensor]:
        which = self.which.pop(0) if self.which else None
        return {} if which is None else {"which": torch.tensor(which)}

    def again(self) -> torch.Tensor:
        """The same noise, for the reference."""
        self.read += 1
        return self.all[self.read - 1]


def both(net: Any, names: list[str], state: Any, action: Any) -> torch.Tensor:
    """Outputs (n, b, o) of some of the reference's critics."""
    return torch.stack([net[name](torch.cat([state, action], 1)) for name in names])


def act(batch: Any) -> torch.Tensor:
    return (batch.action - torch.from_numpy(MIDDLE)) / torch.from_numpy(HALF)


def policy(raw: torch.Tensor) -> TransformedDistribution:
    """torch's own squashed Gaussian of a network's output."""
    mean, log_std = raw.chunk(2, 1)
    return TransformedDistribution(
        Independent(Normal(mean, log_std.clamp(*LOG_STD).exp()), 1), [TanhTransform(cache_size=1)]
    )


def drawn(raw: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """An action (b, a) and its log-density (b,), with that noise."""
    mean, log_std = raw.chunk(2, 1)
    there = policy(raw)
    (squashing,) = there.transforms
    action = squashing(mean + log_std.clamp(*LOG_STD).exp() * noise)  # remembers what it came from
    return action, there.log_prob(action)
