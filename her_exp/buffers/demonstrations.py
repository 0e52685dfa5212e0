"""A run's buffer and one of demonstrations, drawn from together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from her_exp.data.minari_set import Episode
from her_exp.limits import Level, check_arguments
from her_exp.types import Array, Batch, Buffer, GoalFunctions, Observation, Step, UserError

#: What of a buffer's state comes from its steps alone, which are on the disk.
_STORED = ("ring", "info")


class WithDemonstrations(Buffer):
    """Draws a share of each batch from a set of demonstrations, and the rest from the run's own steps.

    Symmetric sampling (Ball et al. 2023, arXiv:2302.02948, who take a half). Each buffer relabels as it does
    alone. Until the run has a step, all is drawn from the set.

    Args:
        own: what the run stores into.
        demonstrations: a buffer that holds the set already; see `steps_of`.
        share: of each batch that is the set's; a fixed number of rows, rounded, and one at least.
        digest: of the set's data. The set is no part of `state_dict`, but this is.
    """

    def __init__(self, own: Buffer, demonstrations: Buffer, share: Level = 0.5, digest: str = ""):
        check_arguments(WithDemonstrations, locals())
        self._own, self._demonstrations = own, demonstrations
        self._share, self._digest = share, digest
        self.achieved_share = own.achieved_share
        self._has_steps = False  # of the run's own
        self._drawn = 0.0  # share of the last batches that was the set's
        self._marks: dict[tuple[int, int], torch.Tensor] = {}

    def begin(self, observation: Observation) -> None:
        """Start new episodes in all lanes of the run."""
        self._own.begin(observation)

    def add(self, step: Step) -> None:
        """Store one step of all lanes of the run."""
        self._own.add(step)
        self._has_steps |= bool(np.any(step.valid))

    def sample(self, batch_size: int, n_batches: int = 1) -> list[Batch]:
        """Draw and relabel from both; the last rows of each batch are the set's."""
        count = max(1, round(self._share * batch_size)) if self._has_steps else batch_size
        if self._has_steps and self._share < 1:  # rounding leaves the run's own steps one row
            count = min(count, max(1, batch_size - 1))
        self._drawn = count / batch_size
        try:
            theirs = self._demonstrations.sample(count, n_batches)
        except UserError as error:
            raise UserError(f"{error} (of buffer.demonstrations: her-check data=...)") from error
        mark = self._mark(batch_size, count, theirs[0].reward)
        if count == batch_size:
            return [batch._replace(demonstrated=mark) for batch in theirs]
        ours = self._own.sample(batch_size - count, n_batches)
        return [
            Batch._make((*map(torch.cat, zip(own[:-1], other[:-1], strict=True)), mark))
            for own, other in zip(ours, theirs, strict=True)
        ]

    def _mark(self, batch_size: int, count: int, like: torch.Tensor) -> torch.Tensor:
        shape = batch_size, count
        if shape not in self._marks:
            self._marks[shape] = torch.ones(batch_size, device=like.device)
            self._marks[shape][: batch_size - count] = 0.0
        return self._marks[shape].clone()  # an agent may work in its batches

    def metrics(self) -> dict[str, float]:
        """Numbers of both; the set's have a name of their own."""
        theirs = self._demonstrations.metrics()
        return {
            **self._own.metrics(),
            **{f"demonstrations_{name}": value for name, value in theirs.items()},
            "demonstrations_share": self._drawn,
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that later draws depend on, but the set itself: of that a digest."""
        theirs = self._demonstrations.state_dict()
        return {
            "own": self._own.state_dict(),
            "demonstrations": {k: value for k, value in theirs.items() if k not in _STORED},
            "digest": self._digest,
            "has_steps": self._has_steps,
            "drawn": self._drawn,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; UserError where the set is another one since."""
        if state["digest"] != self._digest:
            raise UserError(
                "buffer.demonstrations: the data of this set has changed since the run began (SHA-256 "
                f"{state['digest'][:12]}, now {self._digest[:12]}); put it back, or begin anew with rerun="
            )
        self._own.load_state_dict(state["own"])
        theirs = self._demonstrations.state_dict() | dict(state["demonstrations"])
        self._demonstrations.load_state_dict(theirs)
        self._has_steps, self._drawn = state["has_steps"], state["drawn"]


def steps_of(episode: Episode, functions: GoalFunctions) -> Iterator[Step]:
    """Yield an episode's steps as those of one lane; `Buffer.begin` takes the first one's observation."""
    seen, info = episode.observation, episode.info
    achieved, asked = seen["achieved_goal"][1:], seen["desired_goal"][:-1]
    success = np.asarray(functions.success(achieved, asked, info), bool)
    for t in range(len(episode.reward)):
        now = slice(t, t + 1)
        yield Step(
            {key: value[now] for key, value in seen.items()},
            episode.action[now],
            episode.reward[now],
            episode.terminated[now],
            episode.truncated[now],
            {key: value[t + 1 : t + 2] for key, value in seen.items()},
            np.ones(1, bool),
            {key: value[now] for key, value in info.items()},
            success[now],
        )


def states_of(episode: Episode, achieved_share: float) -> tuple[Array, Array, Array]:
    """Return what an episode shows a normaliser: states (T + 1, o), goals (2T, g), their weights (2T,)."""
    seen = episode.observation
    goals = np.concatenate([seen["desired_goal"][:-1], seen["achieved_goal"][1:]])
    weights = np.repeat([1.0 - achieved_share, achieved_share], len(goals) // 2)
    return seen["observation"], goals, weights
