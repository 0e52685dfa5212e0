"""Deep Q-network (Mnih et al. 2015), double by default (arXiv:1509.06461), goal-conditioned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces as gym_spaces
from torch import Tensor, nn

from her_exp.agents.base import GoalAgent, Learned
from her_exp.agents.engine import Move
from her_exp.limits import Count, Positive, Share
from her_exp.types import Array, GoalSpaces, Metrics, action_fault


@dataclass(kw_only=True, eq=False, repr=False)
class DQN(GoalAgent):
    """One Q-value for each action, for Discrete actions. Settings: see `conf/agent/dqn.yaml`."""

    targets = ("q",)
    policy = "q"
    apart = ("epsilon_start", "epsilon_end", "epsilon_steps")

    hidden_sizes: Sequence[Count] = (256, 256)
    layer_norm: bool = False
    lr: Positive = 1e-3
    double: bool = True
    dueling: bool = False
    epsilon_start: Share = 1.0
    epsilon_end: Share = 0.05
    epsilon_steps: Count = 2000

    def prepare(self) -> None:
        """Count the actions."""
        space = self.spaces.action
        assert isinstance(space, gym_spaces.Discrete)
        self._n, self._first = int(space.n), int(space.start)

    @classmethod
    def check_spaces(cls, spaces: GoalSpaces) -> str | None:
        """Return what is wrong with these spaces for this agent, or None."""
        if fault := action_fault(spaces.action):
            return fault
        if not isinstance(spaces.action, gym_spaces.Discrete):
            return f"{cls.__name__} needs Discrete actions, the env has {spaces.action}; take agent=ddpg"
        return None

    def moves(self) -> Sequence[Move]:
        """One loss of one network."""
        return (Move("critic_loss", {"q": "lr"}),)

    def networks(self) -> dict[str, nn.Module]:
        """Return the one network."""
        return {"q": self.make_network(self.state_dim, (self._n + self.dueling) * self.quantiles)}

    @property
    def quantiles(self) -> int:
        """Numbers for each action."""
        return 1

    def units(self, action: Tensor) -> Tensor:
        """Return actions (b,) of the env as numbers from 0 on."""
        return action - self._first

    @property
    def epsilon(self) -> float:
        """Share of random actions at the present env step."""
        done = min(1.0, self.env_steps / self.epsilon_steps) if self.epsilon_steps else 1.0
        return self.epsilon_start + done * (self.epsilon_end - self.epsilon_start)

    def values(self, outputs: Tensor) -> Tensor:
        """Return the values (b, actions, quantiles) that the network's outputs stand for.

        Dueling (Wang et al. 2016, arXiv:1511.06581), the first outputs are the value of the state, to
        which each action adds its advantage over their mean.
        """
        grid = outputs.view(outputs.shape[0], -1, self.quantiles)
        if not self.dueling:
            return grid
        state, advantage = grid[:, :1], grid[:, 1:]
        return state + advantage - advantage.mean(1, keepdim=True)

    def best(self, values: Tensor) -> Tensor:
        """Return the numbers (b,) of the actions of the highest values (b, actions, quantiles)."""
        return values.mean(-1).argmax(-1)

    def greedy(self, observation: Tensor, goal: Tensor) -> Tensor:
        """Return what each action is worth, (n, actions), of tensors (n, o) and (n, g): the best is taken."""
        raw = self.output(getattr(self.nets, self.policy), self.inputs(observation, goal))
        return self.values(raw).mean(-1)

    def taken(self, values: Tensor, action: Tensor) -> Tensor:
        """Return the values (b, quantiles) of one action (b,) each."""
        index = action.view(-1, 1, 1).expand(-1, 1, self.quantiles)
        return values.gather(1, index).squeeze(1)

    def decide(self, raw: Tensor | None, n: int, explore: bool) -> Array:
        """Return actions (n,); exploring is epsilon-greedy."""
        assert raw is not None
        greedy = self.best(self.values(raw)).cpu().numpy()
        if explore:
            anything = self._generator.integers(self._n, size=n)
            greedy = np.where(self._generator.random(n) < self.epsilon, anything, greedy)
        return np.asarray(greedy + self._first)

    def critic_loss(
        self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any
    ) -> tuple[Tensor, Metrics]:
        """How far the values of the actions taken are from the target."""
        with torch.no_grad():  # the one that chooses may be the network that learns
            after = self.values(nets.target_q(batch.next_state))
            judge = self.values(nets.q(batch.next_state)) if self.double else after
            target = self.bootstrap(batch, self.taken(after, self.best(judge)), s)
        q = self.taken(self.values(nets.q(batch.state)), batch.action)
        loss = self.distance(q, target)
        return loss, {"q_mean": q.detach().mean()}

    def distance(self, q: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error of values (b, 1)."""
        return (q - target).square().mean()
