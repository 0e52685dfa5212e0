"""Deep Q-network (Mnih et al. 2015), double by default (arXiv:1509.06461), goal-conditioned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from gymnasium import spaces as gym_spaces
from torch import Tensor

from her_exp.agents.base import GoalAgent
from her_exp.agents.networks import MLP, Learner
from her_exp.agents.precision import Precision, resolve_precision
from her_exp.limits import check_ranges
from her_exp.types import Array, Batch, GoalSpaces, Metrics, action_fault


class DQN(GoalAgent):
    """One Q-value for each action, for Discrete actions. Arguments: see `conf/agent/dqn.yaml`.

    Args:
        spaces, reward_range, seed, device: see `GoalAgent`.
    """

    quantiles = 1  #: outputs for each action

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (256, 256),
        layer_norm: bool = False,
        gamma: float = 0.98,
        tau: float = 0.05,
        target_every: int = 1,
        lr: float = 1e-3,
        double: bool = True,
        dueling: bool = False,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.05,
        epsilon_steps: int = 2000,
        grad_clip_norm: float | None = None,
        clip_targets: bool = True,
        normalize: bool = True,
        normalize_clip: float = 5.0,
        precision: Precision = "float32",
        *,
        spaces: GoalSpaces,
        reward_range: tuple[float, float] | None = None,
        seed: np.random.SeedSequence,
        device: str | torch.device = "cpu",
    ):
        check_ranges(
            type(self).__name__, hidden_sizes=hidden_sizes, gamma=gamma, tau=tau,
            target_every=target_every, lr=lr, epsilon_start=epsilon_start, epsilon_end=epsilon_end,
            epsilon_steps=epsilon_steps, grad_clip_norm=grad_clip_norm,
            normalize_clip=normalize_clip,
        )  # fmt: skip
        if complaint := self.check_spaces(spaces):
            raise ValueError(complaint)
        super().__init__(
            spaces, reward_range, seed, device,
            gamma=gamma, tau=tau, target_every=target_every, clip_targets=clip_targets,
            normalize=normalize, normalize_clip=normalize_clip,
        )  # fmt: skip
        assert isinstance(spaces.action, gym_spaces.Discrete)
        self.precision = resolve_precision(precision, self.device, hidden_sizes)
        self.double, self.dueling = double, dueling
        self.epsilon_start, self.epsilon_end = epsilon_start, epsilon_end
        self.epsilon_steps = epsilon_steps
        self._n, self._first = int(spaces.action.n), int(spaces.action.start)
        outputs = (self._n + dueling) * self.quantiles
        sizes = [spaces.observation_dim + spaces.goal_dim, *hidden_sizes, outputs]
        self.q, self.target_q = (
            self.initialize(lambda: MLP(sizes, layer_norm=layer_norm, precision=self.precision))
            for _ in range(2)
        )
        self.learners = {"q": Learner(self.q, lr, self.target_q, grad_clip_norm)}

    @classmethod
    def check_spaces(cls, spaces: GoalSpaces) -> str | None:
        """Return what is wrong with these spaces for this agent, or None."""
        if fault := action_fault(spaces.action):
            return fault
        if not isinstance(spaces.action, gym_spaces.Discrete):
            return f"{cls.__name__} needs Discrete actions, the env has {spaces.action}; take agent=ddpg"
        return None

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
        grid = outputs.view(len(outputs), -1, self.quantiles)
        if not self.dueling:
            return grid
        state, advantage = grid[:, :1], grid[:, 1:]
        return state + advantage - advantage.mean(1, keepdim=True)

    def values_slope(self, slope: Tensor) -> Tensor:
        """Return a loss's gradient by the outputs, given that by the values (b, actions, quantiles)."""
        if self.dueling:
            total = slope.sum(1, keepdim=True)
            slope = torch.cat([total, slope - total / self._n], dim=1)
        return slope.flatten(1)

    def best(self, values: Tensor) -> Tensor:
        """Return the numbers (b,) of the actions of the highest values (b, actions, quantiles)."""
        return values.mean(-1).argmax(-1)

    @torch.no_grad()
    def act(self, observation: Array, goal: Array, *, explore: bool) -> Array:
        """Return actions (n,) for observations (n, o) and goals (n, g); exploring is epsilon-greedy."""
        outputs = self.q.exact(self.input_of(observation, goal))
        greedy = self.best(self.values(outputs)).cpu().numpy()
        if explore:
            n = len(greedy)
            anything = self._generator.integers(self._n, size=n)
            greedy = np.where(self._generator.random(n) < self.epsilon, anything, greedy)
        return np.asarray(greedy + self._first)

    @torch.no_grad()
    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step."""
        state = self.inputs(batch.observation, batch.goal)
        outputs, tape = self.q.record(state)
        values = self.values(outputs)
        taken = self._index(batch.action - self._first)
        q = values.gather(1, taken).squeeze(1)
        loss, slope = self.loss(q, self._target(batch))
        # Of the actions taken alone.
        slope = torch.zeros_like(values).scatter_(1, taken, slope.unsqueeze(1))
        self.learners["q"].step(self.q.gradients(tape, self.values_slope(slope)))
        self.finish_update()
        return {"critic_loss": loss, "q_mean": q.mean()}

    def loss(self, q: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean squared error of values (b, 1), and its slope by them."""
        error = q - target
        return error.square().mean(), error * (2 / len(error))

    def _index(self, action: Tensor) -> Tensor:
        """Return the numbers of actions (b,) in the shape in which `gather` wants them."""
        return action.view(-1, 1, 1).expand(-1, 1, self.quantiles)

    def _target(self, batch: Batch) -> Tensor:
        """Return the target (b, quantiles)."""
        state = self.inputs(batch.next_observation, batch.goal)
        values = self.values(self.target_q(state))
        best = self.best(self.values(self.q(state)) if self.double else values)
        after = values.gather(1, self._index(best)).squeeze(1)
        return self.bootstrap(batch.reward.unsqueeze(-1), batch.terminated.unsqueeze(-1), after)
