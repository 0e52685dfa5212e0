"""Sound draws of the buffer, spoiled on purpose by one fault.

Each rule of the buffer is broken by a mutant, and the comparison must notice. No mutant knows the inside
of the buffer. A mutant either spoils what the buffer has drawn (`Spoiled`: one function on each draw, or
on the draws of one call), or it is a sound buffer that is built or fed wrongly. Except for the rule that
it breaks, a mutant is consistent: a wrong goal comes with the reward of that goal and is owned up to in
`last`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from her_exp.types import Batch
from tests.buffers.oracle import State
from tests.buffers.side_by_side import Rig


@dataclass(frozen=True)
class Draw:
    """One element of a batch: whose step, whose goal, and what stands in the batch."""

    state: State
    goal: State | None
    row: dict[str, Any]
    asked: bool = False  # the goal is the one that `goal` was asked for

    def put(self, **changes: Any) -> Draw:
        """Change what stands in the batch, and not what `last` tells."""
        return replace(self, row=self.row | changes)


class Spoiled:
    """The draws of a sound buffer, spoiled by `fault(tools, draws of one call) -> draws`."""

    def __init__(self, rig: Rig, fault: Callable[[Spoiled, list[list[Draw]]], Any]) -> None:
        self.buffer, self.oracle, self.fault = rig.buffer, rig.oracle, fault
        self.rng = np.random.default_rng(0)
        self.last: Any = None

    @property
    def size(self) -> int:
        return self.buffer.size

    def draw(self, state: State, goal: State | None, asked: bool = False) -> Draw:
        lent = None if goal is None else (goal, asked)
        return Draw(state, goal, self.oracle.expected(state, lent), asked)

    def goals(self, state: State) -> list[State]:
        return [goal for goal, _ in self.oracle.allowed_goals(state)]

    def any(self, states: list[State]) -> State:
        return states[self.rng.integers(len(states))]

    def sample(self, batch_size: int, n_batches: int = 1) -> list[Batch]:
        self.buffer.sample(batch_size, n_batches)
        last, states = self.buffer.last, self.oracle.tables()[0]
        draws = [
            [
                self.draw(
                    states[last.lane[i, j], last.row[i, j]],
                    states[last.goal_lane[i, j], last.goal_row[i, j]]
                    if last.relabelled[i, j]
                    else None,
                    bool(last.asked[i, j]),
                )
                for j in range(batch_size)
            ]
            for i in range(n_batches)
        ]
        draws = self.fault(self, draws)
        columns = {
            "lane": lambda draw: draw.state.lane,
            "row": lambda draw: draw.state.row,
            "goal_lane": lambda draw: draw.goal.lane if draw.goal else -1,
            "goal_row": lambda draw: draw.goal.row if draw.goal else -1,
            "relabelled": lambda draw: draw.goal is not None,
            "asked": lambda draw: draw.asked,
        }
        self.last = SimpleNamespace(
            **{
                name: np.array([[column(draw) for draw in batch] for batch in draws])
                for name, column in columns.items()
            }
        )
        return [
            Batch(
                **{
                    name: torch.as_tensor(np.array([draw.row[name] for draw in batch]))
                    for name in Batch._fields
                }
            )
            for batch in draws
        ]


Fault = Callable[[Spoiled, Draw], Draw]


def each(fault: Fault, only: str = "relabelled") -> Callable[[Spoiled, Any], Any]:
    """Apply `fault` to each draw, or only to those relabelled or those with their own goal."""

    def apply(tools: Spoiled, draws: list[list[Draw]]) -> list[list[Draw]]:
        wanted = {"relabelled": (True,), "own": (False,), "all": (True, False)}[only]
        return [
            [fault(tools, draw) if (draw.goal is not None) in wanted else draw for draw in batch]
            for batch in draws
        ]

    return apply


def same_if_none(tools: Spoiled, draw: Draw, goals: list[State]) -> Draw:
    return tools.draw(draw.state, tools.any(goals)) if goals else draw


def following(tools: Spoiled, state: State) -> list[State]:
    """Return the live states of the lane after the episode of `state`."""
    lane = tools.oracle.lanes[state.lane]
    return lane[lane.index(state.episode.states[-1]) + 1 :]


def again(tools: Spoiled, draw: Draw, state: State) -> Draw:
    """Return a sound draw of another step."""
    if draw.goal is None:
        return tools.draw(state, None)
    return tools.draw(state, tools.any(tools.goals(state)))


def rig_of(strategy: str, /, **changes: Any) -> Rig:
    """Return three lanes of 16 rows; after 58 steps they hold episodes of every sort."""
    return Rig(48, lanes=3, strategy=strategy, seed=12, buffer_changes=changes).begin()
