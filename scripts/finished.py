"""Finished runs: what stands in their folders, and the words in which pages tell it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from omegaconf import OmegaConf
from plot_curves import curve

from her_exp.training import evaluation

HELD_OUT = "held_out.json"  #: how the last policy of a run did on goals that training never saw
LEVEL = "0.95"  #: the success rate whose first evaluation counts


class Run(NamedTuple):
    """A finished run."""

    result: dict[str, Any]  #: its result.json
    held_out: dict[str, Any]  #: its last policy on goals that training never saw
    steps: list[int]  #: env steps of its evaluations
    success: list[float]  #: and their success
    budget: int  #: env steps that it was given; lanes may end a few later
    story: dict[str, Any]  #: its run.json

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a folder that holds config.yaml, metrics.csv and these JSON files."""
        result, held_out, story = (
            json.loads((folder / name).read_text())
            for name in ("result.json", HELD_OUT, "run.json")
        )
        budget = OmegaConf.load(folder / "config.yaml").trainer.total_steps
        return cls(result, held_out, *curve(folder), budget, story)

    @property
    def solved_at(self) -> float:
        """Env steps at the first evaluation that reached LEVEL; infinity if none did."""
        return float(self.result["reached"].get(LEVEL, {}).get("env_steps", math.inf))

    @property
    def mean_success(self) -> float:
        """Mean success of all evaluations, which are evenly spaced: the area under the curve."""
        return float(np.mean(self.success))


def bootstrap(values: Sequence[float], draws: int = 10_000) -> tuple[float, float, float]:
    """Return the median and its 95 % percentile interval by resampling; infinities stay what they are."""
    drawn = np.random.default_rng(0).choice(values, (draws, len(values)))
    # An order statistic: between a number and infinity nothing can be interpolated.
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975], method="inverted_cdf")
    return float(median(values)), float(low), float(high)


def steps_text(runs: Sequence[Run]) -> str:
    """Tell the median of `solved_at` with its interval, and how many runs came there."""
    budget = runs[0].budget

    def text(value: float) -> str:
        return f"{value:,.0f}" if math.isfinite(value) else f"> {budget:,}"

    reached = sum(math.isfinite(run.solved_at) for run in runs)
    middle, low, high = bootstrap([run.solved_at for run in runs])
    if not reached:
        return f"never in {budget:,} (0 of {len(runs)})"
    return f"{text(middle)} ({text(low)} to {text(high)}; {reached} of {len(runs)})"


def success_text(runs: Sequence[Run]) -> str:
    """Tell the success of all seeds together with Wilson's interval."""
    rate, (low, high) = evaluation.pooled([run.held_out for run in runs])
    return f"{rate:.1%} ({low:.1%} to {high:.1%})"


def each_text(runs: Sequence[Run]) -> str:
    """Tell the success of each seed."""
    return ", ".join(f"{100 * run.held_out['success_final']:.3g}" for run in runs)
