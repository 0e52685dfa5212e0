"""Soft actor-critic (Haarnoja et al. 2018, arXiv:1801.01290 and 1812.05905), goal-conditioned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from her_exp.agents.continuous import BoxAgent
from her_exp.agents.ensemble import Ensemble, UpdateNoise, check_critics
from her_exp.agents.gaussian import Squashed, squash, squash_slope
from her_exp.agents.networks import Learner
from her_exp.agents.precision import Precision
from her_exp.limits import check_ranges
from her_exp.types import Array, Batch, GoalSpaces, Metrics


class Temperature(nn.Module):
    """What a unit of entropy is worth, as a parameter: its logarithm.

    Args:
        start: the first value.
    """

    def __init__(self, start: float):
        super().__init__()
        self.log = nn.Parameter(torch.tensor([start]).log())


class SAC(BoxAgent):
    """A squashed Gaussian policy that is paid for its entropy, and several critics.

    Arguments: see `conf/agent/sac.yaml`.

    Args:
        target_critics: None: the smallest of all critics is the target, and what the policy climbs.
            A number: the smallest of so many, drawn anew for each update, is the target, and the
            policy climbs the mean of all (REDQ, Chen et al. 2021, arXiv:2101.05982).
        entropy: the temperature: "auto" learns it, a number fixes it.
        target_entropy: what "auto" aims at, in nats, of actions in units of half the Box; "auto":
            minus the number of coordinates.
        spaces, reward_range, seed, device: see `GoalAgent`.
    """

    outputs = 1  #: of each critic

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (64, 64),
        layer_norm: bool = True,
        n_critics: int = 2,
        target_critics: int | None = None,
        gamma: float = 0.98,
        tau: float = 0.05,
        target_every: int = 1,
        policy_every: int = 1,
        actor_lr: float = 2e-3,
        critic_lr: float = 2e-3,
        entropy: float | Literal["auto"] = "auto",
        entropy_start: float = 0.1,
        entropy_lr: float = 2e-3,
        target_entropy: float | Literal["auto"] = "auto",
        random_action: float = 0.0,
        random_steps: int = 500,
        action_l2: float = 0.0,
        grad_clip_norm: float | None = None,
        clip_targets: bool = False,
        normalize: bool = True,
        normalize_clip: float = 5.0,
        precision: Precision = "float32",
        *,
        spaces: GoalSpaces,
        reward_range: tuple[float, float] | None = None,
        seed: np.random.SeedSequence,
        device: str | torch.device = "cpu",
    ):
        owner = type(self).__name__
        check_critics(owner, n_critics, target_critics)
        check_ranges(
            owner, hidden_sizes=hidden_sizes, gamma=gamma, tau=tau, target_every=target_every,
            policy_every=policy_every, actor_lr=actor_lr, critic_lr=critic_lr, entropy=entropy,
            entropy_start=entropy_start, entropy_lr=entropy_lr, target_entropy=target_entropy,
            random_action=random_action, random_steps=random_steps, action_l2=action_l2,
            grad_clip_norm=grad_clip_norm, normalize_clip=normalize_clip,
        )  # fmt: skip
        super().__init__(
            spaces, reward_range, seed, device, hidden_sizes=hidden_sizes, layer_norm=layer_norm,
            precision=precision, random_action=random_action, random_steps=random_steps,
            gamma=gamma, tau=tau, target_every=target_every, clip_targets=clip_targets,
            normalize=normalize, normalize_clip=normalize_clip,
        )  # fmt: skip
        self.n_critics, self.target_critics = n_critics, target_critics
        self.policy_every, self.action_l2 = policy_every, action_l2
        self.actor = self.network(self.state_dim, 2 * self.action_dim)
        self.critic, self.target_critic = self._make_critics(), self._make_critics()
        self.learners = {
            "critic": Learner(self.critic, critic_lr, self.target_critic, grad_clip_norm),
            "actor": Learner(self.actor, actor_lr, None, grad_clip_norm),
        }
        self._fixed: Tensor | None = None
        if isinstance(entropy, str):
            self._learned = Temperature(entropy_start).to(self.device)
            self.learners["entropy"] = Learner(self._learned, entropy_lr)
        else:
            self._fixed = torch.tensor([entropy], device=self.device)
        self.return_range = self._soft_range(entropy)
        least = isinstance(target_entropy, str)
        self.target_entropy = -float(self.action_dim) if least else float(target_entropy)
        self.noise = UpdateNoise(self._update_seed, self.device)
        self.parts["noise"] = self.noise

    def _make_critics(self) -> Ensemble:
        inputs = self.state_dim + self.action_dim
        return Ensemble([self.network(inputs, self.outputs) for _ in range(self.n_critics)])

    def _soft_range(self, entropy: float | str) -> tuple[float, float] | None:
        """Return `return_range` with what entropy adds; None where its worth is learned and may grow.

        No policy on [-1, 1]^d has more entropy than the uniform one, d log 2. Targets are clipped,
        where that is asked for, to what rewards alone can pay.
        """
        if self.return_range is None or isinstance(entropy, str):
            return None
        low, high = self.return_range
        return low, high + entropy * self.action_dim * math.log(2.0) / (1.0 - self.gamma)

    @property
    def temperature(self) -> Tensor:
        """What a unit of entropy is worth at present, (1,)."""
        return self._learned.log.detach().exp() if self._fixed is None else self._fixed

    def choose(self, state: Tensor, explore: bool) -> Array:
        """Return tanh of the mean (n, action_dim) or, exploring, actions drawn from the policy."""
        raw = self.actor.exact(state)
        if explore:
            noise = self._generator.standard_normal((len(raw), self.action_dim), np.float32)
            action = squash(raw, torch.from_numpy(noise).to(self.device)).action
        else:
            action = torch.tanh(raw[:, : self.action_dim])
        return np.asarray(action.cpu().numpy())

    @torch.no_grad()
    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of the critics and, when it is its turn, of policy and temperature."""
        state = self.inputs(batch.observation, batch.goal)
        values, tape = self.critic.record(torch.cat([state, self.units(batch.action)], dim=-1))
        loss, slope = self.critic_loss(values, self._target(batch))
        self.learners["critic"].step(self.critic.gradients(tape, slope))
        metrics = {"critic_loss": loss, "q_mean": values.mean()}
        if self.takes_turn(self.policy_every):
            metrics |= self._improve_policy(state)
        self.finish_update()
        return metrics

    def _target(self, batch: Batch) -> Tensor:
        """Return what the critics' outputs are compared with, (b, 1), or several for each row."""
        state = self.inputs(batch.next_observation, batch.goal)
        drawn = self._draw(self.actor(state))
        which = self.noise.choose(self.n_critics, self.target_critics)
        values = self.target_critic(torch.cat([state, drawn.action], dim=-1), which)
        soft = self.pool(values) - (self.temperature * drawn.log_prob).unsqueeze(-1)
        return self.bootstrap(batch.reward.unsqueeze(-1), batch.terminated.unsqueeze(-1), soft)

    def _draw(self, raw: Tensor) -> Squashed:
        return squash(raw, self.noise.normal_like(raw[:, : self.action_dim]))

    def _improve_policy(self, state: Tensor) -> Metrics:
        """Take a step of the policy on its value and entropy, and one of the temperature."""
        raw, tape = self.actor.record(state)
        drawn, temperature = self._draw(raw), self.temperature
        values, critic_tape = self.critic.record(torch.cat([state, drawn.action], dim=-1))
        worth, slope = self.climb(values)
        slope = self.critic.slope(critic_tape, -slope)[:, self.state_dim :]
        if self.action_l2:
            slope = slope + drawn.action * (2 * self.action_l2 / drawn.action.numel())
        slope = squash_slope(drawn, slope, temperature / len(raw))
        self.learners["actor"].step(self.actor.gradients(tape, slope))
        entropy = -drawn.log_prob.mean()
        if self._fixed is None:
            # The loss is the logarithm of the temperature times the entropy beyond the aim.
            self.learners["entropy"].step([entropy.view(1) - self.target_entropy])
        loss = self.action_l2 * drawn.action.square().mean() - worth - temperature[0] * entropy
        return {"actor_loss": loss, "entropy": entropy, "entropy_temperature": temperature[0]}

    def pool(self, values: Tensor) -> Tensor:
        """Return the target critics' outputs (n, b, 1) as one, (b, 1)."""
        return values.amin(0)

    def critic_loss(self, values: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean squared error, and the slope of its sum over critics by `values` (n, b, 1)."""
        error = values - target
        return error.square().mean(), error * (2 / len(target))

    def climb(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the policy climbs, a mean over the batch, and its slope by `values` (n, b, 1)."""
        if self.target_critics is not None:
            return values.mean(), torch.full_like(values, 1 / values.numel())
        least, which = values.min(0, keepdim=True)
        slope = torch.zeros_like(values).scatter_(0, which, 1 / values.shape[1])
        return least.mean(), slope
