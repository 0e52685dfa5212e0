"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971), goal-conditioned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from her_exp.agents.continuous import BoxAgent
from her_exp.agents.networks import MLP, Learner
from her_exp.agents.precision import Precision
from her_exp.limits import check_ranges
from her_exp.types import Array, Batch, GoalSpaces, Metrics


class DDPG(BoxAgent):
    """A deterministic policy and one critic, for Box actions of any bounds.

    Arguments: see `conf/agent/ddpg.yaml`.

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
        policy_every: int = 1,
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
            type(self).__name__, hidden_sizes=hidden_sizes, gamma=gamma, tau=tau,
            target_every=target_every, policy_every=policy_every, actor_lr=actor_lr,
            critic_lr=critic_lr, noise_std=noise_std,
            random_action=random_action, random_steps=random_steps, action_l2=action_l2,
            grad_clip_norm=grad_clip_norm, normalize_clip=normalize_clip,
        )  # fmt: skip
        if action_l2_on not in ("output", "preactivation"):
            wrong = f"action_l2_on={action_l2_on!r} must be output or preactivation"
            raise ValueError(f"{type(self).__name__}: {wrong}")
        super().__init__(
            spaces, reward_range, seed, device, hidden_sizes=hidden_sizes, layer_norm=layer_norm,
            precision=precision, random_action=random_action, random_steps=random_steps,
            gamma=gamma, tau=tau, target_every=target_every, clip_targets=clip_targets,
            normalize=normalize, normalize_clip=normalize_clip,
        )  # fmt: skip
        self.noise_std, self.action_l2, self.action_l2_on = noise_std, action_l2, action_l2_on
        self.policy_every = policy_every
        state, action = self.state_dim, self.action_dim
        self.actor, self.target_actor = self.network(state, action), self.network(state, action)
        self.critic, self.target_critic = self.make_critic(), self.make_critic()
        self.learners = {
            "critic": Learner(self.critic, critic_lr, self.target_critic, grad_clip_norm),
            "actor": Learner(self.actor, actor_lr, self.target_actor, grad_clip_norm),
        }

    def make_critic(self) -> Any:
        """Return a new critic: (b, o + g + a) to (b, 1), or several, to (n, b, 1)."""
        return self.network(self.state_dim + self.action_dim, 1)

    @property
    def judge(self) -> MLP:
        """The critic that the policy climbs."""
        critic: MLP = self.critic
        return critic

    def choose(self, state: Tensor, explore: bool) -> Array:
        """Return the policy's actions (n, action_dim), with Gaussian noise if exploring."""
        action: Array = torch.tanh(self.actor.exact(state)).cpu().numpy()
        if explore:
            action = action + self.noise_std * self._generator.standard_normal(action.shape)
        return action

    @torch.no_grad()
    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of the critic and, when it is its turn, of the policy."""
        state = self.inputs(batch.observation, batch.goal)
        q, tape = self.critic.record(torch.cat([state, self.units(batch.action)], dim=-1))
        # The loss is the mean squared error, of several critics the sum of theirs.
        error = q - self._target(batch).unsqueeze(-1)
        self.learners["critic"].step(self.critic.gradients(tape, error * (2 / len(batch.reward))))
        metrics = {"critic_loss": error.square().mean(), "q_mean": q.mean()}
        if self.takes_turn(self.policy_every):
            metrics["actor_loss"] = self._improve_policy(state)
        self.finish_update()
        return metrics

    def _improve_policy(self, state: Tensor) -> Tensor:
        """Take a step on minus the mean value of the policy's choice, back through critic and tanh."""
        raw, tape = self.actor.record(state)
        choice = torch.tanh(raw)
        value, critic_tape = self.judge.record(torch.cat([state, choice], dim=-1))
        slope = self.judge.slope(critic_tape, torch.full_like(value, -1 / len(value)))
        slope = slope[:, state.shape[-1] :]
        through_tanh = 1.0 - choice * choice
        # The penalty is on what tanh gives, or on what goes into it.
        output = self.action_l2_on == "output"
        penalised = choice if output else raw
        pull = penalised * (2 * self.action_l2 / choice.numel())
        slope = (slope + pull) * through_tanh if output else slope * through_tanh + pull
        self.learners["actor"].step(self.actor.gradients(tape, slope))
        return self.action_l2 * penalised.square().mean() - value.mean()

    def _target(self, batch: Batch) -> Tensor:
        """Return the critic's target (b,)."""
        state = self.inputs(batch.next_observation, batch.goal)
        action = torch.tanh(self.target_actor(state))
        value = self.target_critic(torch.cat([state, action], dim=-1))
        return self.bootstrap(batch.reward, batch.terminated, value.squeeze(-1))
