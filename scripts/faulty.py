"""Test doubles: our buffer with one known fault of the field each, for `cost_of_faults.py` alone.

Each class is the real buffer with one behaviour changed, and is plugged in as a user's own would be,
by `buffer._target_=faulty.<Class>` with this folder on the PYTHONPATH. Nothing in `her_exp` knows them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from her_exp.buffers.batches import first_of_each
from her_exp.buffers.goals import DrawnSteps, Index, MixedGoals, draw_below
from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.buffers.recorder import TERMINATED
from her_exp.types import Step


class StaleTerminated(HindsightReplayBuffer):
    """A relabelled step keeps the `terminated` that was stored with its own goal."""

    def _relabel(
        self, rows: Index, chosen: MixedGoals, shape: tuple[int, int], virtual: int
    ) -> None:
        signals = first_of_each(self._room.fields["signals"], shape, virtual)
        stored = signals[..., TERMINATED].clone()
        super()._relabel(rows, chosen, shape, virtual)
        signals[..., TERMINATED] = stored


def goal_of_the_state_before(drawn: DrawnSteps, generator: np.random.Generator) -> Index:
    """`future` one state too early: goals achieved in the states t .. T-1, before the actions."""
    # Past `at`, which refuses the first state of an episode.
    return drawn._ring.rows_ahead(drawn._rows, draw_below(generator, drawn.left))


class GoalsFromStateBefore(HindsightReplayBuffer):
    """Goals are what was achieved before an action: the step's own state is one, the last is none."""

    def __init__(self, **settings: Any):
        super().__init__(**settings | {"strategy": goal_of_the_state_before})


class TimeLimitTerminal(HindsightReplayBuffer):
    """A step cut by the time limit is stored as terminated: nothing is taken to follow it."""

    def add(self, step: Step) -> None:
        """Store one step of all lanes."""
        super().add(step._replace(terminated=step.terminated | step.truncated))


class StoredGoalsOverwritten(HindsightReplayBuffer):
    """The goal of a relabelled step is written over the stored one; reward and end stay as stored.

    The step's own goal is lost. Drawn again and not relabelled, it has a goal to which the stored
    reward does not belong. (Within one call of `sample` all batches are read before.)
    """

    def _relabel(
        self, rows: Index, chosen: MixedGoals, shape: tuple[int, int], virtual: int
    ) -> None:
        super()._relabel(rows, chosen, shape, virtual)
        goal = first_of_each(self._room.fields["goal"], shape, virtual).flatten(0, 1)
        key, start, stop = self._ring.fields["desired_goal"]
        array = self._ring.arrays[key]
        # Of a row drawn twice the last goal stays.
        array.reshape(-1, array.shape[-1])[rows, start:stop] = goal.numpy()
