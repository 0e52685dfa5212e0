"""Runs that differ in nothing but their seed are one group."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from her_exp.reporting import statistics
from her_exp.reporting.runs import Floats, Run

#: Settings that change no number of a run, as `score.`, the bar that an experiment must reach, does not;
#: the seed is what a group is over.
IGNORED = (
    "seed", "sweep", "trainer.progress", "trainer.picture", "trainer.keep_checkpoints",
    "trainer.log_every", "trainer.sinks",
)  # fmt: skip
_SHOWN = 4  # settings in a label
_WORD = 60  # characters of one of them


@dataclass
class Group:
    """Runs with equal settings.

    Attributes:
        settings: `group.key` to value, without what is `IGNORED`.
        label: what tells it from the others, unique.
        differs: those of its settings that other groups have otherwise, for a table.
        runs: all of them, by seed.
    """

    settings: dict[str, Any]
    label: str = ""
    differs: dict[str, Any] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    @property
    def task(self) -> str:
        """Name of its task."""
        return str(self.settings.get("env.name"))

    @property
    def agent(self) -> str:
        """Name of its agent's class, in small letters."""
        return str(self.settings.get("agent._target_")).rpartition(".")[2].lower()

    @property
    def counted(self) -> list[Run]:
        """The runs that its numbers are made of: done, one a seed."""
        return [run for run in self.runs if run.counted]

    @property
    def scores(self) -> Floats:
        """Success at the last step of the counted runs (n,)."""
        return np.array([run.success for run in self.counted], float)

    @cached_property
    def iqm(self) -> tuple[float, float, float]:
        """IQM of the scores and its bootstrap interval: *the* result, in tables and figures; or NaN."""
        if not len(self.scores):
            return (math.nan,) * 3
        low, high = statistics.bootstrap(statistics.iqm, [self.scores])
        return float(statistics.iqm(self.scores)), float(low), float(high)


def group(runs: Sequence[Run]) -> list[Group]:
    """Return the groups, in the order of what tells them apart; runs without a config are in none."""
    found: dict[str, Group] = {}
    for run in runs:
        if run.settings:
            kept = [key for key in run.settings if key not in IGNORED and key[:6] != "score."]
            # What is off was no setting yet when an older run began.
            settings = {k: v for k in kept if (v := run.settings[k]) not in (None, [])}
            key = json.dumps(settings, sort_keys=True, default=str)
            found.setdefault(key, Group(settings)).runs.append(run)
    groups = list(found.values())
    for one in groups:
        one.runs.sort(key=lambda run: (_order(run.seed), str(run.folder)))
        _count(one.runs)
    _label(groups)
    groups.sort(key=lambda one: [_order(value) for value in one.differs.values()])
    return groups


def _count(runs: Sequence[Run]) -> None:
    """Choose the runs that count: a seed that ran twice gives the same numbers, and is one draw."""
    seen: dict[str, Run] = {}
    for run in runs:
        if run.status != "done":
            continue
        first = seen.setdefault(str(run.seed), run)
        run.counted = first is run
        if first is not run:
            run.warnings.append(f"not counted: same settings and seed as {first.folder.name}")


def _label(groups: Sequence[Group]) -> None:
    """Name each group by what tells it from the others."""
    tasks, agents = {one.task for one in groups}, {one.agent for one in groups}
    for one in groups:
        alike = [other for other in groups if (other.task, other.agent) == (one.task, one.agent)]
        own = differing([other.settings for other in alike])
        one.differs = {"task": one.task} if len(tasks) > 1 else {}
        one.differs |= {"agent": one.agent} if len(agents) > 1 else {}
        one.differs |= {key: one.settings.get(key) for key in own}
        words = [one.task] * (len(tasks) > 1) + [one.agent] * (len(agents) > 1)
        short = _short(own)
        words += [f"{short[key]}={show(one.settings.get(key))}" for key in own[:_SHOWN]]
        words += [f"and {len(own) - _SHOWN} more"] if len(own) > _SHOWN else []
        words = words or [one.task, one.agent]
        one.label = ", ".join(w if len(w) <= _WORD else f"{w[: _WORD - 3]}..." for w in words)
    seen: dict[str, int] = {}
    for one in groups:
        seen[one.label] = seen.get(one.label, 0) + 1
        if seen[one.label] > 1:
            one.label += f" (#{seen[one.label]})"


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Return names for keys: of several the last part, where that is still one key's alone."""
    last = [key.rpartition(".")[2] for key in keys]
    alone = len(keys) > 1
    return {k: n if alone and last.count(n) == 1 else k for k, n in zip(keys, last, strict=True)}


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that do not have one and the same value everywhere."""
    keys = sorted({key for one in settings for key in one})
    return [k for k in keys if len({json.dumps(one.get(k), default=str) for one in settings}) > 1]


def show(value: Any) -> str:
    """Return a value as on a command line."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _order(value: Any) -> tuple[int, float, str]:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), "") if plain else (1, 0.0, str(value))
