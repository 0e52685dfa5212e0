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
from her_exp.ranges import check_ranges
from her_exp.types import Array, Batch, GoalSpaces, Metrics


class DQN(GoalAgent):
    """One Q-value for each action, for Discrete actions. Arguments: see `conf/agent/dqn.yaml`.

    Args:
        spaces, reward_range, seed, device: see `GoalAgent`.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (256, 256),
        layer_norm: bool = False,
        gamma: float = 0.98,
        tau: float = 0.05,
        target_every: int = 1,
        lr: float = 1e-3,
        double: bool = True,
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
            "DQN", hidden_sizes=hidden_sizes, gamma=gamma, tau=tau, target_every=target_every,
            lr=lr, epsilon_start=epsilon_start, epsilon_end=epsilon_end,
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
        self.double = double
        self.epsilon_start, self.epsilon_end = epsilon_start, epsilon_end
        self.epsilon_steps = epsilon_steps
        self._n, self._first = int(spaces.action.n), int(spaces.action.start)
        sizes = [spaces.observation_dim + spaces.goal_dim, *hidden_sizes, self._n]
        self.q, self.target_q = (
            self.initialize(lambda: MLP(sizes, layer_norm=layer_norm, precision=self.precision))
            for _ in range(2)
        )
        self.learners = {"q": Learner(self.q, lr, self.target_q, grad_clip_norm)}

    @staticmethod
    def check_spaces(spaces: GoalSpaces) -> str | None:
        """Return what is wrong with these spaces for this agent, or None."""
        if not isinstance(spaces.action, gym_spaces.Discrete):
            return f"DQN needs Discrete actions, the env has {spaces.action}; take agent=ddpg"
        return None

    @property
    def epsilon(self) -> float:
        """Share of random actions at the present env step."""
        done = min(1.0, self.env_steps / self.epsilon_steps) if self.epsilon_steps else 1.0
        return self.epsilon_start + done * (self.epsilon_end - self.epsilon_start)

    @torch.no_grad()
    def act(self, observation: Array, goal: Array, *, explore: bool) -> Array:
        """Return actions (n,) for observations (n, o) and goals (n, g); exploring is epsilon-greedy."""
        greedy = self.q.exact(self.input_of(observation, goal)).argmax(-1).cpu().numpy()
        if explore:
            n = len(greedy)
            anything = self._generator.integers(self._n, size=n)
            greedy = np.where(self._generator.random(n) < self.epsilon, anything, greedy)
        return np.asarray(greedy + self._first)

    @torch.no_grad()
    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step."""
        state = self.inputs(batch.observation, batch.goal)
        index = (batch.action - self._first).unsqueeze(-1)
        values, tape = self.q.record(state)
        q = values.gather(-1, index)
        error = q - self._target(batch).unsqueeze(-1)
        # The loss is the mean squared error of the actions taken.
        slope = torch.zeros_like(values).scatter_(-1, index, error * (2 / len(error)))
        self.learners["q"].step(self.q.gradients(tape, slope))
        self.finish_update()
        return {"critic_loss": error.square().mean(), "q_mean": q.mean()}

    def _target(self, batch: Batch) -> Tensor:
        state = self.inputs(batch.next_observation, batch.goal)
        values: Tensor = self.target_q(state)
        chosen = (self.q(state) if self.double else values).argmax(-1, keepdim=True)
        return self.bootstrap(batch.reward, batch.terminated, values.gather(-1, chosen).squeeze(-1))
