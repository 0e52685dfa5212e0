"""What a run has done so far: counters, recent episodes, levels reached. Part of every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean as mean
from typing import Any

import numpy as np
import torch

from her_exp.store.folder import empty_result
from her_exp.training.checks import LearningCheck
from her_exp.training.evaluation import Evaluation
from her_exp.training.rollout import Episode, met_at_reset
from her_exp.types import Metrics

_LEVELS = (0.95, 0.99)  # success rates whose first evaluation is kept in result.json
_RECENT = 100  # episodes of `rollout/success_mean_100`


class Record:
    """The numbers of a run, and how they appear in the log.

    Args:
        check: looks at the metrics of updates.

    Attributes:
        env_steps: env transitions over all lanes.
        episodes: training episodes that ended.
        updates: gradient steps.
        offline: of them those before the first env step, from demonstrations alone.
        result: summary of the last evaluation, empty before the first.
        episodes_before: of them those that had ended at the last scheduled checkpoint.
        evaluated_at, logged_at: env steps of the last evaluation and log line, -1 before.
        evaluation_due: an evaluation was given up for a signal; a run that goes on begins with it.
    """

    def __init__(self, check: LearningCheck | None = None) -> None:
        self._check = check or LearningCheck()
        self.env_steps = self.episodes = self.updates = self.offline = 0
        self.evaluated_at = self.logged_at = -1
        self.episodes_before = 0
        self.evaluation_due = False
        self.result: dict[str, Any] = {}
        self.reached: dict[str, dict[str, float]] = {}
        self._best = [-1.0, -np.inf]  # success and return of the best evaluation
        self._recent: list[float] = []
        self._losses: dict[str, list[torch.Tensor]] = {}

    @property
    def success(self) -> float | None:
        """Success rate of the last evaluation."""
        return self.result.get("success_final")

    def ended(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Count training episodes that ended with this step; returns their means for the log.

        One value a step, since TensorBoard keeps no more.
        """
        self.episodes += len(episodes)
        self._recent = [*self._recent, *(float(e.success_final) for e in episodes)][-_RECENT:]
        met = met_at_reset(episodes)
        return {
            "rollout/return": mean(e.total_reward for e in episodes),
            "rollout/length": mean(float(e.length) for e in episodes),
            "rollout/success": mean(float(e.success_final) for e in episodes),
            "rollout/success_mean_100": mean(self._recent),
            "rollout/final_distance": mean(e.final_distance for e in episodes),
            **({} if met is None else {"rollout/met_at_reset": met}),
            "rollout/episodes": float(self.episodes),
        }

    def learned(self, metrics: Sequence[Metrics]) -> None:
        """Count gradient steps and keep their metrics, on the device, for the next log line."""
        self.updates += len(metrics)
        for (
            one
        ) in metrics:  # an update need not have every metric: a delayed actor has its own beat
            for key, value in one.items():
                self._losses.setdefault(key, []).append(torch.as_tensor(value).reshape(-1))

    def _means(self) -> dict[str, float]:
        """Means of the metrics since the last log line: here they leave the device."""
        return self._check.means(self._losses, self.env_steps)

    def check_learning(self) -> None:
        """Raise UserError if learning has diverged, before something of it is saved."""
        self._means()

    def losses(self, group: str = "train") -> dict[str, float]:
        """Return the means of the metrics since the last call, for a log line; UserError as above."""
        means = self._means()
        self._losses = {}
        self.logged_at = self.env_steps
        updates = {f"{group}/updates": float(self.updates)}
        return {f"{group}/{key}": value for key, value in means.items()} | updates

    def evaluated(self, evaluation: Evaluation, train_seconds: float) -> dict[str, float]:
        """Take in an evaluation; returns its numbers for the log."""
        self.result = evaluation.summary()
        self.evaluated_at, self.evaluation_due = self.env_steps, False
        for level in _LEVELS:
            if self.result["success_final"] >= level:
                self.reached.setdefault(
                    str(level),
                    {
                        "env_steps": self.env_steps,
                        "updates": self.updates,
                        "train_seconds": round(train_seconds, 3),
                    },
                )
        plain = {k: v for k, v in self.result.items() if k not in ("episodes", "interval")}
        plain["interval_low"], plain["interval_high"] = self.result["interval"]
        return {f"eval/{key}": float(value) for key, value in plain.items() if value is not None}

    def is_best(self) -> bool:
        """Say whether the last evaluation beats all before; ties in success are broken by return."""
        score = [self.result["success_final"], self.result["return"]]
        if score <= self._best:
            return False
        self._best = score
        return True

    def as_result(
        self, status: str, reason: str | None, train: float, wall: float
    ) -> dict[str, Any]:
        """Return the content of `result.json`."""
        return empty_result(status, reason) | {
            "env_steps": self.env_steps,
            "episodes": self.episodes,
            "updates": self.updates,
            "train_seconds": round(train, 3),
            "wall_seconds": round(wall, 3),
            "eval": self.result or None,
            "reached": self.reached,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return everything, with the metrics that are not logged yet."""
        # After a resume on a GPU the first ones are still on the CPU.
        pending = {
            key: torch.cat([value.cpu() for value in values])
            for key, values in self._losses.items()
        }
        plain = {
            key: value for key, value in vars(self).items() if key not in ("_losses", "_check")
        }
        return {**plain, "pending": pending}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        state = dict(state)
        pending = state.pop("pending")
        vars(self).update(state)
        self._losses = {key: [values.clone()] for key, values in pending.items()}
