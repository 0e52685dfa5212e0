"""Reward and termination as tensor code, where a task is a distance with a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class DistanceGoal:
    """A goal is met within `threshold` (Euclidean, in units of the goal).

    Attributes:
        threshold: largest distance at which the goal is met.
        met_reward: reward of a step that meets the goal.
        missed_reward: reward of any other step.
        terminates: whether meeting the goal ends the episode.
        proven: how many goals, met and missed, the env judged alike.
    """

    threshold: float
    met_reward: float
    missed_reward: float
    terminates: bool
    proven: tuple[int, int] = (0, 0)

    def described(self) -> str:
        """Say in words what was found."""
        met, missed = self.proven
        return (
            f"reward: distance within {self.threshold:g}, computed as tensors: the env's own on {met} goals "
            f"that were met and {missed} that were missed"
        )

    def __call__(
        self, achieved: torch.Tensor, desired: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return reward and termination, (b,) float32 each, of goals (b, goal_dim)."""
        gap = torch.linalg.vector_norm(achieved - desired, dim=-1)
        met = (gap <= self.threshold).float()
        # Exact for the usual -1/0 and 0/1, and for any pair within float32's rounding.
        reward = met * (self.met_reward - self.missed_reward) + self.missed_reward
        return reward, met if self.terminates else torch.zeros_like(met)
