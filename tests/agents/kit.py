"""What the tests of agents share: agents of a few units, batches, a plain reference of their updates."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from her_exp.agents.ddpg import DDPG
from her_exp.agents.dqn import DQN
from her_exp.agents.qrdqn import QRDQN
from her_exp.agents.sac import SAC
from her_exp.agents.td3 import TD3
from her_exp.agents.tqc import TQC
from her_exp.types import Batch, GoalSpaces

#: An asymmetric Box: middle (1, 1), half (3, 0.5).
LOW, HIGH = np.array([-2.0, 0.5], np.float32), np.array([4.0, 1.5], np.float32)
MIDDLE, HALF = (LOW + HIGH) / 2, (HIGH - LOW) / 2
OBSERVATION, GOAL, ACTIONS = 4, 2, 3
FIRST = 10  # the first of the discrete actions


def make_spaces(action: spaces.Space[Any]) -> GoalSpaces:
    return GoalSpaces(
        spaces.Box(-np.inf, np.inf, (OBSERVATION,)), spaces.Box(-np.inf, np.inf, (GOAL,)), action
    )


BOX = make_spaces(spaces.Box(LOW, HIGH))
DISCRETE = make_spaces(spaces.Discrete(ACTIONS, start=FIRST))


SETTINGS: dict[str, Any] = {
    "hidden_sizes": (16, 12), "layer_norm": False, "reward_range": (-1.0, 0.0),
}  # fmt: skip


def maker(name: str, kind: type, spaces: GoalSpaces, **defaults: Any) -> Any:
    """A maker of agents of one class, small ones, with these settings where it is given no others."""

    def make(seed: int = 0, spaces: GoalSpaces = spaces, **settings: Any) -> Any:
        settings = SETTINGS | defaults | settings
        return kind(spaces=spaces, seed=np.random.SeedSequence(seed), **settings)

    make.__name__ = name
    return make


ddpg = maker("ddpg", DDPG, BOX)
td3 = maker("td3", TD3, BOX)
sac = maker("sac", SAC, BOX)
redq = maker("redq", SAC, BOX, n_critics=4, target_critics=2, policy_every=2)
tqc = maker("tqc", TQC, BOX, n_quantiles=5)
dqn = maker("dqn", DQN, DISCRETE)
dueling = maker("dueling", DQN, DISCRETE, dueling=True)
qrdqn = maker("qrdqn", QRDQN, DISCRETE, n_quantiles=5)

#: Makers of agents for Discrete actions; the others are for a Box.
ON_DISCRETE = (dqn, dueling, qrdqn)

BOTH = pytest.mark.parametrize("make", [ddpg, dqn])
ALL = pytest.mark.parametrize("make", [ddpg, dqn, td3, sac, redq, tqc, dueling, qrdqn])


def batches(make: Any, n: int = 1, size: int = 32, seed: int = 0) -> list[Batch]:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        if make in ON_DISCRETE:
            action = torch.from_numpy(FIRST + rng.integers(ACTIONS, size=size))
        else:
            action = torch.from_numpy(rng.uniform(LOW, HIGH, (size, 2)).astype(np.float32))
        arrays = [rng.normal(2.0, 3.0, (size, d)) for d in (OBSERVATION, GOAL, OBSERVATION)]
        observation, goal, after = (torch.from_numpy(a.astype(np.float32)) for a in arrays)
        reward = torch.from_numpy(-(rng.random(size) < 0.7).astype(np.float32))
        terminated = torch.from_numpy((rng.random(size) < 0.3).astype(np.float32))
        out.append(Batch(observation, goal, action, reward, terminated, after))
    return out


def see(agent: Any, n: int = 200, steps: int = 0, seed: int = 3) -> None:
    rng = np.random.default_rng(seed)
    goals = rng.normal(-1.0, 4.0, (2 * n, GOAL))
    agent.observe(rng.normal(2.0, 3.0, (n, OBSERVATION)), goals, np.repeat([0.2, 0.8], n), steps)


def inputs(n: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, OBSERVATION)), rng.normal(size=(n, GOAL))


def answer(network: nn.Module, *values: float) -> None:
    """Make a network give `values` whatever goes in."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.layers[-1].bias.copy_(torch.tensor(values))  # type: ignore[union-attr, index]


def one_row(batch: Batch, **changes: float) -> Batch:
    row = Batch(*(part[:1].clone() for part in batch))
    for name, value in changes.items():
        getattr(row, name).fill_(value)
    return row


def networks(agent: Any) -> dict[str, tuple[list[Any], list[Any]]]:
    return {
        name: (
            [p.detach().clone() for p in learner.network.parameters()],
            [p.detach().clone() for p in learner.target.parameters()],
        )
        for name, learner in agent.learners.items()
        if learner.target is not None
    }


def plain_copy(network: nn.Module, layer_norm: bool) -> nn.Sequential:
    """The same network out of torch's own parts."""
    linear, norms = list(network.layers), list(network.norms)  # type: ignore[arg-type]
    parts: list[nn.Module] = []
    for i, layer in enumerate(linear):
        parts.append(copy.deepcopy(layer))
        if i < len(linear) - 1:
            parts += [copy.deepcopy(norms[i])] if layer_norm else []
            parts.append(nn.ReLU())
    return nn.Sequential(*parts).requires_grad_()  # an agent asks for gradients as it needs them


def part(agent: Any, name: str) -> Any:
    """The network of that name: `critic.1` is the second of several critics."""
    name, _, number = name.partition(".")
    network = getattr(agent.nets, name)
    return network.networks[int(number)] if number else network


class Reference:
    """The update as the papers write it: plain autograd, unfused Adam, a loop over parameters."""

    def __init__(self, agent: Any, names: dict[str, float], settings: dict[str, Any]):
        self.gamma, self.tau = settings["gamma"], settings["tau"]
        self.clip = settings["grad_clip_norm"]
        self.range = (-1.0 / (1.0 - self.gamma), 0.0)
        self.net = {n: plain_copy(part(agent, n), settings["layer_norm"]) for n in names}
        follows = [n for n in names if hasattr(agent.nets, f"target_{n.partition('.')[0]}")]
        self.target = {n: copy.deepcopy(self.net[n]) for n in follows}
        self.adam = {
            n: torch.optim.Adam(self.net[n].parameters(), lr=lr, fused=False, foreach=False)
            for n, lr in names.items()
        }

    def normalise(self, observation: Any, goal: Any) -> Any:
        rng = np.random.default_rng(3)  # what `see` showed the agent
        goals = rng.normal(-1.0, 4.0, (400, GOAL))
        seen = rng.normal(2.0, 3.0, (200, OBSERVATION))
        weights = np.repeat([0.2, 0.8], 200)
        goal_mean = np.average(goals, axis=0, weights=weights)
        goal_std = np.sqrt(np.average((goals - goal_mean) ** 2, axis=0, weights=weights))
        mean = torch.tensor(np.concatenate([seen.mean(0), goal_mean]), dtype=torch.float32)
        std = torch.tensor(np.concatenate([seen.std(0), goal_std]), dtype=torch.float32)
        return ((torch.cat([observation, goal], 1) - mean) / std).clamp(-5.0, 5.0)

    def states(self, batch: Batch) -> tuple[Any, Any]:
        """What the networks see before and after the steps of a batch."""
        observations = (batch.observation, batch.next_observation)
        before, after = (self.normalise(observation, batch.goal) for observation in observations)
        return before, after

    def step(self, name: str, loss: Any) -> None:
        """A step of the network of this name, or of several together: `critic` of critic.0, critic.1."""
        names = [n for n in self.net if n.partition(".")[0] == name]
        for net in self.net.values():
            net.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip is not None:
            parameters = [p for n in names for p in self.net[n].parameters()]
            norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
            for p in parameters:
                p.grad *= min(1.0, self.clip / float(norm + 1e-6))
        for n in names:
            self.adam[n].step()

    def follow(self) -> None:
        with torch.no_grad():
            for name, target in self.target.items():
                for t, p in zip(target.parameters(), self.net[name].parameters(), strict=True):
                    t.copy_((1.0 - self.tau) * t + self.tau * p)

    def y(self, batch: Batch, value: Any) -> Any:
        return (batch.reward + self.gamma * (1.0 - batch.terminated) * value).clamp(*self.range)


def same_parameters(agent: Any, reference: Reference) -> None:
    pairs = [(part(agent, name), net) for name, net in reference.net.items()]
    pairs += [(part(agent, f"target_{name}"), net) for name, net in reference.target.items()]
    for mine, theirs in pairs:
        again = plain_copy(mine, bool(len(mine.norms)))
        for a, b in zip(again.parameters(), theirs.parameters(), strict=True):
            # A step of Adam is some 1e-3, whatever the gradient: of a tiny one the last bits count.
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
