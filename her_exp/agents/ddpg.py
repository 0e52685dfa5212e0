"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971), goal-conditioned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from gymnasium import spaces as gym_spaces
from torch import Tensor

from her_exp.agents.base import GoalAgent
from her_exp.agents.networks import MLP, Learner
from her_exp.agents.precision import Precision, resolve_precision
from her_exp.ranges import check_ranges
from her_exp.types import Array, Batch, GoalSpaces, Metrics


class DDPG(GoalAgent):
    """A deterministic policy and one critic, for Box actions of any bounds.

    Inside, actions are in units of half the Box ([-1, 1]). Arguments: see `conf/agent/ddpg.yaml`.

    Args:
        spaces, reward_range, seed, device: see `GoalAgent`.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (64, 64),
        layer_norm: bool = True,
        gamma: float = 0.98,
        tau: float = 0.05,
        target_every: int = 1,
        actor_lr: float = 2e-3,
        critic_lr: float = 2e-3,
        noise_std: float = 0.2,
        random_action: float = 0.1,
        random_steps: int = 500,
        action_l2: float = 0.0,
        action_l2_on: Literal["output", "preactivation"] = "output",
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
            "DDPG", hidden_sizes=hidden_sizes, gamma=gamma, tau=tau, target_every=target_every,
            actor_lr=actor_lr, critic_lr=critic_lr, noise_std=noise_std,
            random_action=random_action, random_steps=random_steps, action_l2=action_l2,
            grad_clip_norm=grad_clip_norm, normalize_clip=normalize_clip,
        )  # fmt: skip
        if action_l2_on not in ("output", "preactivation"):
            raise ValueError(f"DDPG: action_l2_on={action_l2_on!r} must be output or preactivation")
        if complaint := self.check_spaces(spaces):
            raise ValueError(complaint)
        super().__init__(
            spaces, reward_range, seed, device,
            gamma=gamma, tau=tau, target_every=target_every, clip_targets=clip_targets,
            normalize=normalize, normalize_clip=normalize_clip,
        )  # fmt: skip
        self.noise_std, self.random_action = noise_std, random_action
        self.random_steps, self.action_l2 = random_steps, action_l2
        self.action_l2_on = action_l2_on
        self.precision = resolve_precision(precision, self.device, hidden_sizes)
        assert isinstance(spaces.action, gym_spaces.Box)
        low, high = (
            np.asarray(b, np.float32).reshape(-1) for b in (spaces.action.low, spaces.action.high)
        )
        self._low, self._high = low, high
        self._half, self._middle = (high - low) / 2, (high + low) / 2
        # A coordinate that cannot move has nothing to divide by.
        divisor = np.where(self._half == 0, np.float32(1), self._half)
        self._half_t = torch.from_numpy(divisor).to(self.device)
        self._middle_t = torch.from_numpy(self._middle).to(self.device)
        state, action = spaces.observation_dim + spaces.goal_dim, len(low)

        def make(inputs: int, outputs: int) -> MLP:
            sizes = [inputs, *hidden_sizes, outputs]
            return self.initialize(
                lambda: MLP(sizes, layer_norm=layer_norm, precision=self.precision)
            )

        self.actor, self.target_actor = make(state, action), make(state, action)
        self.critic, self.target_critic = make(state + action, 1), make(state + action, 1)
        self.learners = {
            "critic": Learner(self.critic, critic_lr, self.target_critic, grad_clip_norm),
            "actor": Learner(self.actor, actor_lr, self.target_actor, grad_clip_norm),
        }

    @staticmethod
    def check_spaces(spaces: GoalSpaces) -> str | None:
        """Return what is wrong with these spaces for this agent, or None."""
        if not isinstance(spaces.action, gym_spaces.Box):
            return f"DDPG needs Box actions, the env has {spaces.action}; take agent=dqn"
        if not spaces.action.is_bounded():
            return f"DDPG needs bounded actions, the env has {spaces.action}; wrap it to bound them"
        return None

    @torch.no_grad()
    def act(self, observation: Array, goal: Array, *, explore: bool) -> Array:
        """Return actions (n, ...) in the Box for observations (n, o) and goals (n, g).

        Exploring: uniform for the first `random_steps` env steps, then Gaussian noise around the
        policy, and uniform with probability `random_action`.
        """
        generator, n = self._generator, len(observation)
        if explore and self.env_steps < self.random_steps:
            action = generator.uniform(-1.0, 1.0, (n, len(self._half)))
        else:
            action = torch.tanh(self.actor.exact(self.input_of(observation, goal))).cpu().numpy()
            if explore:
                action = action + self.noise_std * generator.standard_normal(action.shape)
                anywhere = generator.uniform(-1.0, 1.0, action.shape)
                random = generator.random((n, 1)) < self.random_action
                action = np.where(random, anywhere, action).clip(-1.0, 1.0)
        # Rounding may carry the end of the range a bit past the Box.
        action = (action * self._half + self._middle).clip(self._low, self._high)
        action = action.astype(self.spaces.action.dtype)
        return np.asarray(action.reshape(n, *(self.spaces.action.shape or ())))

    @torch.no_grad()
    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of critic and actor."""
        state = self.inputs(batch.observation, batch.goal)
        action = (batch.action - self._middle_t) / self._half_t

        # Critic: the loss is the mean squared error.
        q, tape = self.critic.record(torch.cat([state, action], dim=-1))
        error = q - self._target(batch).unsqueeze(-1)
        self.learners["critic"].step(self.critic.gradients(tape, error * (2 / len(error))))

        # Actor: the loss is minus the mean value of its choice, back through critic and tanh.
        raw, tape = self.actor.record(state)
        choice = torch.tanh(raw)
        value, critic_tape = self.critic.record(torch.cat([state, choice], dim=-1))
        slope = self.critic.slope(critic_tape, torch.full_like(value, -1 / len(value)))
        slope = slope[:, state.shape[-1] :]
        through_tanh = 1.0 - choice * choice
        # The penalty is on what tanh gives, or on what goes into it.
        output = self.action_l2_on == "output"
        penalised = choice if output else raw
        pull = penalised * (2 * self.action_l2 / choice.numel())
        slope = (slope + pull) * through_tanh if output else slope * through_tanh + pull
        self.learners["actor"].step(self.actor.gradients(tape, slope))

        self.finish_update()
        return {
            "critic_loss": error.square().mean(),
            "actor_loss": self.action_l2 * penalised.square().mean() - value.mean(),
            "q_mean": q.mean(),
        }

    def _target(self, batch: Batch) -> Tensor:
        state = self.inputs(batch.next_observation, batch.goal)
        action = torch.tanh(self.target_actor(state))
        value = self.target_critic(torch.cat([state, action], dim=-1))
        return self.bootstrap(batch.reward, batch.terminated, value.squeeze(-1))
