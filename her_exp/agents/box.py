"""What agents for Box actions share: units, exploration, the cloning of demonstrated actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces as gym_spaces
from torch import Tensor

from her_exp.agents.base import GoalAgent, Learned
from her_exp.limits import NotNegative, Share
from her_exp.types import Array, GoalSpaces, Metrics, action_fault


@dataclass(kw_only=True, eq=False, repr=False)
class BoxAgent(GoalAgent):
    """Acts in a bounded Box of any shape. A subclass defines `mode` and `choose` beside its losses.

    Inside, actions are in units of half the Box ([-1, 1] in each coordinate).

    Args:
        random_action: share of exploring actions drawn uniformly from the Box.
        random_steps: env steps at the start with such actions only.
    """

    apart: ClassVar[tuple[str, ...]] = ("random_action", "random_steps")

    random_action: Share = 0.0
    random_steps: NotNegative = 500

    def prepare(self) -> None:
        """Measure the Box."""
        space = self.spaces.action
        assert isinstance(space, gym_spaces.Box)
        self._low, self._high = space.low.reshape(-1), space.high.reshape(-1)
        low, high = self._low.astype(np.float32), self._high.astype(np.float32)
        self._half, self._middle = (high - low) / 2, (high + low) / 2
        # A coordinate that cannot move has nothing to divide by.
        divisor = np.where(self._half == 0, np.float32(1), self._half)
        self._half_t = torch.from_numpy(divisor).to(self.device)
        self._middle_t = torch.from_numpy(self._middle).to(self.device)
        self._ends_t = [torch.from_numpy(end).to(self.device) for end in (low, high)]
        self.action_dim = len(low)

    @classmethod
    def check_spaces(cls, spaces: GoalSpaces) -> str | None:
        """Return what is wrong with these spaces for this agent, or None."""
        if fault := action_fault(spaces.action):
            return fault
        if not isinstance(spaces.action, gym_spaces.Box):
            return f"{cls.__name__} needs Box actions, the env has {spaces.action}; take agent=dqn"
        return None

    def units(self, action: Tensor) -> Tensor:
        """Return actions (b, action_dim) of the Box in units of half of it."""
        return (action - self._middle_t) / self._half_t

    def mode(self, raw: Tensor) -> Tensor:
        """Return the actions (n, action_dim) without exploration by the policy's outputs, as `choose`."""
        raise NotImplementedError(f"give {type(self).__name__} a method mode(raw)")

    def choose(self, raw: Tensor, explore: bool) -> Array:
        """Return the policy's actions (n, action_dim) by its outputs, in units of half the Box."""
        raise NotImplementedError

    def greedy(self, observation: Tensor, goal: Tensor) -> Tensor:
        """Return what `act` does without exploration, (n, action_dim), of tensors (n, o) and (n, g)."""
        mode = self.mode(
            self.output(getattr(self.nets, self.policy), self.inputs(observation, goal))
        )
        return (mode * self._half_t + self._middle_t).clamp(*self._ends_t)

    def is_blind(self, explore: bool) -> bool:
        """Explore uniformly for the first `random_steps` env steps."""
        return explore and self.env_steps < self.random_steps

    def decide(self, raw: Tensor | None, n: int, explore: bool) -> Array:
        """Return actions (n, ...) in the Box; exploring, a share `random_action` of them is uniform."""
        generator = self._generator
        if raw is None:
            action = generator.uniform(-1.0, 1.0, (n, self.action_dim))
        else:
            action = self.choose(raw, explore)
            if explore:
                anywhere = generator.uniform(-1.0, 1.0, action.shape)
                random = generator.random((n, 1)) < self.random_action
                action = np.where(random, anywhere, action).clip(-1.0, 1.0)
        action = (action * self._half + self._middle).astype(self.spaces.action.dtype)
        # Rounding may have carried the end of the range a bit past the Box.
        action = action.clip(self._low, self._high)
        return np.asarray(action.reshape(n, *(self.spaces.action.shape or ())))


@dataclass(kw_only=True, eq=False, repr=False)
class DeterministicAgent(BoxAgent):
    """Acts by one output for each coordinate, and explores by Gaussian noise on it.

    Args:
        noise_std: of that noise, in units of half the Box.
    """

    apart = (*BoxAgent.apart, "noise_std")

    noise_std: NotNegative = 0.2
    random_action: Share = 0.1

    def mode(self, raw: Tensor) -> Tensor:
        """Return tanh of the outputs."""
        return torch.tanh(raw)

    def choose(self, raw: Tensor, explore: bool) -> Array:
        """Return the policy's actions (n, action_dim), with Gaussian noise if exploring."""
        action: Array = self.mode(raw).cpu().numpy()
        if explore:
            action = action + self.noise_std * self._generator.standard_normal(action.shape)
        return action


@dataclass(kw_only=True, eq=False, repr=False)
class Cloning:
    """Behaviour cloning beside what the policy climbs (Nair et al. 2018, arXiv:1709.10089).

    A part of an agent with critics, which lists `cloning_weight` as `tunable`, defines `judge`, and ends its
    actor's loss with `with_cloning`.

    Args:
        cloning_weight: of the squared distance to demonstrated actions, meant over the whole batch.
        q_filter: of these only where the critic values them higher than the policy's own.
    """

    switches: ClassVar[tuple[str, ...]] = ("cloning_weight",)

    cloning_weight: NotNegative = 0.0
    q_filter: bool = True

    def judge(self, nets: Any, state: Tensor, action: Tensor) -> Tensor:
        """Return the values by which the policy is judged, (..., b, k): their mean is what it climbs."""
        raise NotImplementedError

    def clones(self, batch: Learned) -> bool:
        """Say whether there is anything to clone, and a wish to."""
        return self.cloning_weight > 0 and batch.demonstrated is not None

    def with_cloning(
        self, loss: Tensor, told: Metrics, batch: Learned, nets: Any, s: Any,
        action: Tensor, values: Tensor,
    ) -> tuple[Tensor, Metrics]:  # fmt: skip
        """Return an actor's loss and numbers to log with those of cloning.

        `action` (b, action_dim) is the policy's in the states of the batch, `values` what `judge` says of it.
        """
        demonstrated = batch.demonstrated
        if demonstrated is None or not self.clones(batch):
            return loss, told
        kept = demonstrated
        if self.q_filter:
            with torch.no_grad():
                better = by_row(self.judge(nets, batch.state, batch.action)) > by_row(values)
            kept = kept * better
        gap = (action - batch.action).square().sum(-1)
        cloning = (kept * gap).mean()
        share = kept.sum() / demonstrated.sum().clamp(min=1.0)
        more = {"cloning_loss": cloning, "cloned_share": share}
        return loss + s.cloning_weight * cloning, {**told, **more}


def by_row(values: Tensor) -> Tensor:
    """Return the means (b,) of values (..., b, k)."""
    return values.movedim(-2, 0).flatten(1).mean(1)
