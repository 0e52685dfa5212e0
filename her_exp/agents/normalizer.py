"""Running mean and deviation of observations and goals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from her_exp.types import Array

_LEAST_STD = 0.01  # a value that hardly moves is not blown up (as in OpenAI baselines' HER)


class RunningMoments:
    """Weighted mean and standard deviation of a stream of vectors (West 1979), in float64.

    Args:
        dim: length of the vectors.
    """

    def __init__(self, dim: int):
        self.weight = 0.0
        self.mean: NDArray[np.float64] = np.zeros(dim)
        self._sum_sq: NDArray[np.float64] = np.zeros(dim)

    def update(self, values: Array, weights: Array | None = None) -> None:
        """Take in values (n, dim), each with its weight (n,), 1 by default."""
        values = values.astype(np.float64, copy=False)
        if weights is None:
            total = float(len(values))
            mean = values.sum(0) / max(total, 1.0)
            spread = np.square(values - mean).sum(0)
        else:
            total = float(weights.sum())
            mean = weights @ values / (total or 1.0)
            spread = weights @ np.square(values - mean)
        if total <= 0.0:
            return
        gap = mean - self.mean
        both = self.weight + total
        self._sum_sq += spread + np.square(gap) * (self.weight * total / both)
        self.mean = self.mean + gap * (total / both)
        self.weight = both

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation (dim,), at least 0.01; 1 before anything was seen."""
        if self.weight == 0.0:
            return np.ones_like(self.mean)
        return np.maximum(np.sqrt(self._sum_sq / self.weight), _LEAST_STD)

    def state_dict(self) -> dict[str, Any]:
        """Return the moments as tensors."""
        return {
            "weight": self.weight,
            "mean": torch.from_numpy(self.mean.copy()),
            "sum_sq": torch.from_numpy(self._sum_sq.copy()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        self.weight = float(state["weight"])
        self.mean = state["mean"].numpy().copy()
        self._sum_sq = state["sum_sq"].numpy().copy()


class InputNormalizer:
    """Makes the networks' input: [observation, goal], normalised and clipped, freshly laid out.

    Args:
        observation_dim, goal_dim: lengths of the flattened parts.
        enabled: False passes the inputs on as they are.
        clip: normalised values are clipped to [-clip, clip].
        device: where the networks are.
    """

    def __init__(
        self,
        observation_dim: int,
        goal_dim: int,
        *,
        enabled: bool = True,
        clip: float = 5.0,
        device: torch.device | str = "cpu",
    ):
        self.observation, self.goal = RunningMoments(observation_dim), RunningMoments(goal_dim)
        self.enabled, self.clip = enabled, clip
        #: (2, o + g) what is taken from an input, and what the rest is multiplied by.
        self.scaling = torch.zeros(2, observation_dim + goal_dim, device=device)
        self._stale = True  # more was seen than they know

    def observe(self, observation: Array, goals: Array, goal_weights: Array) -> None:
        """See observations (n, o) once each, and goals (m, g) with their weights (m,)."""
        if self.enabled:
            self.observation.update(observation.reshape(-1, len(self.observation.mean)))
            self.goal.update(goals.reshape(-1, len(self.goal.mean)), goal_weights)
            self._stale = True

    def refresh(self) -> None:
        """Take into account what was seen; an input does so itself, but in a recorded update."""
        if self._stale:
            mean = np.concatenate([self.observation.mean, self.goal.mean])
            std = np.concatenate([self.observation.std, self.goal.std])
            self.scaling.copy_(torch.from_numpy(np.stack([mean, 1.0 / std])))
            self._stale = False

    def __call__(self, observation: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        """Return the input (b, o + g) float32 of observations (b, o) and goals (b, g)."""
        joined = torch.cat([observation, goal], dim=-1)
        if not self.enabled:
            return joined
        self.refresh()
        return joined.sub_(self.scaling[0]).mul_(self.scaling[1]).clamp_(-self.clip, self.clip)

    def state_dict(self) -> dict[str, Any]:
        """Return the moments of both parts."""
        return {"observation": self.observation.state_dict(), "goal": self.goal.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        self.observation.load_state_dict(state["observation"])
        self.goal.load_state_dict(state["goal"])
        self._stale = True
