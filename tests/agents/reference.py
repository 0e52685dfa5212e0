"""A plain reference of the updates: autograd on the papers' losses, noise written down beforehand."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from her_exp.agents.networks import LOG_STD
from her_exp.types import Batch
from tests.agents.kit import HALF, MIDDLE


def plain_copy(network: nn.Module) -> nn.Sequential:
    """The same network out of torch's own parts."""
    linear, norms = list(network.layers), list(network.norms)  # type: ignore[arg-type]
    parts: list[nn.Module] = []
    for i, layer in enumerate(linear):
        parts.append(copy.deepcopy(layer))
        if i < len(linear) - 1:
            parts += [copy.deepcopy(norms[i])] if norms else []
            parts.append(nn.ReLU())
    return nn.Sequential(*parts).requires_grad_()  # an agent asks for gradients as it needs them


def part(agent: Any, name: str) -> Any:
    """The network of that name: `critic.1` is the second of several critics."""
    name, _, number = name.partition(".")
    network = getattr(agent.nets, name)
    return network.networks[int(number)] if hasattr(network, "networks") else network


class Reference:
    """The update as the papers write it: plain autograd, unfused Adam, a loop over parameters."""

    def __init__(self, agent: Any, **rates: float):
        self.agent, self.updates = agent, 0
        self.range = (-1.0 / (1.0 - agent.gamma), 0.0)
        self.critics = [f"critic.{i}" for i in range(getattr(agent, "n_critics", 1))]
        names = [each for n in rates for each in (self.critics if n == "critic" else [n])]
        self.net = {n: plain_copy(part(agent, n)) for n in names}
        follows = [n for n in names if hasattr(agent.nets, f"target_{n.partition('.')[0]}")]
        self.target = {n: copy.deepcopy(self.net[n]) for n in follows}
        self.adam = {
            n: torch.optim.Adam(
                net.parameters(), lr=rates[n.partition(".")[0]], fused=False, foreach=False
            )
            for n, net in self.net.items()
        }

    def states(self, batch: Batch) -> list[Tensor]:
        """What the networks see before and after the steps of a batch."""
        observations = (batch.observation, batch.next_observation)
        return [self.agent.inputs(observation, batch.goal) for observation in observations]

    def y(self, batch: Batch, value: Any) -> Any:
        """The target (b, n) for values (b, n) of what follows, not yet clipped."""
        goes_on = self.agent.gamma * (1.0 - batch.terminated[:, None])
        return batch.reward[:, None] + goes_on * value

    def step(self, name: str, loss: Any) -> None:
        """A step of the network of this name, or of several together: `critic` of critic.0, critic.1."""
        names = [n for n in self.net if n.partition(".")[0] == name]
        for net in self.net.values():
            net.zero_grad(set_to_none=True)
        loss.backward()
        if self.agent.grad_clip_norm is not None:
            parameters = [p for n in names for p in self.net[n].parameters()]
            norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
            for p in parameters:
                p.grad *= min(1.0, self.agent.grad_clip_norm / float(norm + 1e-6))
        for n in names:
            self.adam[n].step()

    @torch.no_grad()
    def follow(self) -> None:
        self.updates += 1
        if self.updates % self.agent.target_every:
            return
        tau = self.agent.tau
        for name, target in self.target.items():
            for t, p in zip(target.parameters(), self.net[name].parameters(), strict=True):
                t.copy_((1.0 - tau) * t + tau * p)

    def assert_same(self) -> None:
        """The agent's networks and targets are these."""
        pairs = [*self.net.items(), *((f"target_{n}", net) for n, net in self.target.items())]
        for name, theirs in pairs:
            mine = plain_copy(part(self.agent, name))
            for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
                # A step of Adam is some 1e-3, whatever the gradient: of a tiny one the last bits count.
                torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


class Script:
    """Noise and choices written down beforehand, in the place of an agent's own."""

    def __init__(self, choices: bool):
        generator = torch.Generator().manual_seed(3)
        self.all = [torch.randn(32, 2, generator=generator) for _ in range(64)]
        self.choices, self.drawn, self.read, self.asked = choices, 0, 0, [0, 1, 2]

    def normal(self, rows: int, dim: int) -> Tensor:
        self.drawn += 1
        return self.all[self.drawn - 1][:rows].clone()

    def choose(self, n: int, size: int | None) -> dict[str, Tensor]:
        """Two of three critics, others in each update; or all."""
        if not self.choices:
            self.asked = list(range(n))
            return {}
        self.asked = {2: [0, 1], 1: [0, 2], 0: [1, 2]}[self.drawn % 3]
        return {"which": torch.tensor(self.asked)}

    def again(self) -> Tensor:
        """The same noise, for the reference."""
        self.read += 1
        return self.all[self.read - 1]


def both(net: Any, names: list[str], state: Any, action: Any) -> Tensor:
    """Outputs (n, b, o) of some of the reference's critics."""
    return torch.stack([net[name](torch.cat([state, action], 1)) for name in names])


def act(batch: Any) -> Tensor:
    return (batch.action - torch.from_numpy(MIDDLE)) / torch.from_numpy(HALF)


def drawn(raw: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """An action (b, a) and its log-density (b,) by torch's own squashed Gaussian, with that noise."""
    mean, log_std = raw.chunk(2, 1)
    std, squashing = log_std.clamp(*LOG_STD).exp(), TanhTransform(cache_size=1)
    there = TransformedDistribution(Independent(Normal(mean, std), 1), [squashing])
    action = squashing(mean + std * noise)  # remembers what it came from
    return action, there.log_prob(action)


def pinball(quantiles: Tensor, target: Tensor) -> Tensor:
    """The quantile Huber loss of one critic's (b, m) and samples (b, k): the mean over all pairs."""
    m = quantiles.shape[1]
    place = ((torch.arange(m) + 0.5) / m).to(quantiles.dtype)
    error = target[:, None, :] - quantiles[:, :, None]
    huber = torch.where(error.abs() <= 1, 0.5 * error**2, error.abs() - 0.5)
    return ((place[:, None] - (error < 0).to(error.dtype)).abs() * huber).mean()
