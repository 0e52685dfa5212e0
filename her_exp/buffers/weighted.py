"""Hindsight in which some relabelled steps weigh more than others: by what is left to learn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from her_exp.buffers import goals
from her_exp.buffers.goals import Index, MixedGoals
from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.buffers.rarity import RareGoals
from her_exp.limits import Range, Ratio, check_arguments


class WeightedHindsightBuffer(HindsightReplayBuffer):
    """`HindsightReplayBuffer`, with weights on the pairs of step and goal; as it is where both are 1.

    Args:
        capacity, k, strategy, info_keys, storage, n_step: see `HindsightReplayBuffer`.
        met_weight: weight of relabelled steps whose goal was met before the step already, against 1 of
            all others; in [0.001, 1]. They teach to stay, of which little is left to learn where most
            steps move nothing.
        rare_weight: weight at most of achieved goals that are often asked for and seldom achieved; at
            least its inverse of the others (see `rarity.RareGoals`). At least 1, which turns it off.
        **runtime: what the run gives a buffer.
    """

    def __init__(
        self,
        capacity: Annotated[int, Range(2)] = 100_000,
        k: Ratio = 4,
        strategy: str | goals.Strategy = "future",
        met_weight: Annotated[float, Range(0.001, 1)] = 1.0,
        rare_weight: Annotated[float, Range(1, 100)] = 1.0,
        info_keys: Sequence[str] = (),
        storage: Literal["cpu"] | None = None,
        n_step: Annotated[int, Range(1, 100)] = 1,
        **runtime: Any,
    ):
        check_arguments(WeightedHindsightBuffer, locals())
        super().__init__(capacity, k, strategy, info_keys, storage, n_step, **runtime)
        self._met_weight = met_weight
        self._by_future = strategy in ("future", "future_actual")
        self._rare = RareGoals(self._ring, rare_weight) if rare_weight > 1 else None

    def _choose(self, rows: Index, left: Index, relabelled: Index) -> MixedGoals:
        """Choose the rows that lend their goals to the steps at `relabelled`; may draw those anew."""
        chosen = super()._choose(rows, left, relabelled)
        if self._met_weight == 1.0 and self._rare is None:
            return chosen
        if self._rare is not None:
            self._rare.update()
        refused = self._refused(rows[relabelled], chosen)
        for asked in (False, True):  # drawn anew among their own kind: its share stays
            again = np.flatnonzero(refused & (chosen.asked == asked))
            share = 1.0  # of what is drawn that is kept
            while again.size:
                n = int(np.clip(again.size / share, 64, 65536))
                drawn, goals = self._propose(n, asked)
                share = len(drawn) / n or share / 2
                now, again = again[: len(drawn)], again[len(drawn) :]
                rows[relabelled[now]] = drawn[: len(now)]
                chosen.rows[now] = goals[: len(now)]
        return chosen

    def _propose(self, n: int, asked: bool) -> tuple[Index, Index]:
        """Draw `n` pairs anew; returns rows of steps and of goals of those that are kept and `asked`."""
        if self._rare is not None and self._by_future and not asked:
            rows, goals = self._rare.draw_ahead(self._generator, n)
            chosen = MixedGoals(goals, np.zeros(n, bool))
            kept = ~self._lost(rows, chosen)
        else:
            rows, left = self._draw(n)
            chosen = self._strategy_of(rows, left)
            kept = (chosen.asked == asked) & ~self._refused(rows, chosen)
        return rows[kept], chosen.rows[kept]

    def _refused(self, rows: Index, chosen: MixedGoals) -> NDArray[np.bool_]:
        """Say which steps (b,) lose the goals chosen for them, by `met_weight` or `rare_weight`."""
        refused = self._lost(rows, chosen)
        if self._rare is not None:
            chances = self._rare.chances(chosen.rows)
            refused |= ~chosen.asked & (self._generator.random(len(rows)) >= chances)
        return refused

    def _lost(self, rows: Index, chosen: MixedGoals) -> NDArray[np.bool_]:
        """Say which steps (b,) lose the goals chosen for them, met before them, by `met_weight`."""
        lost = self._generator.random(len(rows)) >= self._met_weight
        at = np.flatnonzero(lost)
        if at.size:
            before = self._steps.host.gather(torch.from_numpy(rows[at]), "achieved_goal")
            goal = self._steps.goals_at(
                MixedGoals(chosen.rows[at], chosen.asked[at]), self._steps.host
            )
            worth = self._steps.judge(before, goal, rows[at])[0]
            lost[at] = (worth >= self._steps.judge(goal, goal, rows[at])[0]).numpy()
        return lost

    def state_dict(self) -> dict[str, Any]:
        """Everything that drawing depends on, the generator included; tensors share memory."""
        return super().state_dict() | {"rare": self._rare and self._rare.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; ValueError unless spaces, lanes and capacity are the same."""
        super().load_state_dict(state)
        if self._rare is not None and state.get("rare") is not None:
            self._rare.load_state_dict(state["rare"])
