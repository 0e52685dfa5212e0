"""What the figures of a report show, as numbers; `draw.py` makes a page's and a printer's of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from her_exp.reporting import statistics
from her_exp.reporting.groups import Group
from her_exp.reporting.runs import Floats, Points, Run

Row = dict[str, Any]  #: of a table

DRAWN = 8  # groups in a figure, at most: as many as a palette tells apart
WINDOW = 100  # episodes of a moving average, at most
FEW = 5  # seeds; of fewer a bootstrap interval is too narrow, and a reader is told so
SUCCESS = "eval/success_final"
_LAST = "success at the last step"
_POINTS = 20_000  # of the thin lines of a figure


@dataclass
class Series:
    """One group in a figure.

    Attributes:
        label, color: the group, and its place in the palette.
        name: the label with how many seeds there are, marked where these are few.
        x, y, low, high: the curve and its band, each (n,); empty where no run counts.
        n: seeds behind the curve.
        thin: a line for each run: x and y.
    """

    label: str
    color: int
    name: str = ""
    x: Floats = field(default_factory=lambda: np.empty(0))
    y: Floats = field(default_factory=lambda: np.empty(0))
    low: Floats = field(default_factory=lambda: np.empty(0))
    high: Floats = field(default_factory=lambda: np.empty(0))
    n: int = 0
    thin: list[Points] = field(default_factory=list)


@dataclass
class Figure:
    """A figure: curves over x, or, where `rows` is set, a value with its interval along x, a row each.

    Of a row `y`, `low` and `high` (1,) are the value and its interval, `thin` what each seed gave.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: list[Series]
    percent: str = ""  #: axes of shares, from 0 to 1
    note: str = ""
    rows: bool = False
    middle: float | None = None  #: x of a dotted line
    steps: bool = False  #: y holds from the x before, excluded, to its own

    @property
    def marked(self) -> bool:
        """Whether a name has the sign of few seeds."""
        return any("†" in one.name for one in self.series)


def _named(label: str, n: int) -> str:
    return f"{label} (n={n})" + " †" * (n < FEW) if n else label


def drawn(groups: Sequence[Group]) -> list[Group]:
    """Return the groups that figures show: all, or the best of each task."""
    ranks: dict[str, int] = {}
    places = {}
    for one in sorted(groups, key=_best_first):
        ranks[one.task] = ranks.get(one.task, -1) + 1
        places[id(one)] = (ranks[one.task], _best_first(one))
    best = sorted(places, key=lambda which: places[which])[:DRAWN]
    return [one for one in groups if id(one) in best]


def _best_first(one: Group) -> float:
    return -one.iqm[0] if one.counted else math.inf


def final_success(groups: Sequence[Group]) -> Figure:
    """Return what each group came to: the IQM with its interval, and each seed."""
    series = []
    for color, group in enumerate(groups):
        if n := len(group.scores):
            y, low, high = (np.array([value]) for value in group.iqm)
            thin = [(group.scores, np.empty(0))]
            name = _named(group.label, n)
            series.append(Series(group.label, color, name, y=y, low=low, high=high, n=n, thin=thin))
    note = "Large: the IQM, with its 95% bootstrap interval; small: each seed."
    return Figure("final", "Final success", _LAST, "", series, "x", note, rows=True)


# --- curves ------------------------------------------------------------------------------------


def success_by_seconds(run: Run) -> Points:
    """Return training seconds and success of a run's evaluations.

    Seconds are logged every `trainer.log_every` env steps; between two lines they are interpolated.
    """
    steps, success = run.points(SUCCESS)
    logged, seconds = run.points("time/train_s")
    if not len(logged):
        return np.empty(0), np.empty(0)
    known = steps <= logged[-1]
    at = np.interp(steps[known], np.concatenate([[0], logged]), np.concatenate([[0], seconds]))
    x, first = np.unique(at, return_index=True)
    return x, success[known][first]


def _by_episode(tag: str) -> Callable[[Run], Points]:
    """Smooth what is logged of training episodes, over a part of the run that is short beside it."""

    def points(run: Run) -> Points:
        steps, values = run.points(f"rollout/{tag}")
        others, episodes = run.points("rollout/episodes")
        _, mine, theirs = np.intersect1d(steps, others, return_indices=True)
        x, first = np.unique(episodes[theirs], return_index=True)
        if not len(x):
            return x, values[:0]
        window = int(min(WINDOW, max(1, x[-1] // 10)))
        return x, statistics.moving_average(x, values[mine][first], window)

    return points


def curve(runs: Sequence[Run], points: Callable[[Run], Points]) -> Series:
    """Return the IQM over runs of what `points` gives for each, with its bootstrap band.

    A run is interpolated between its points; after its end it keeps its last value.
    """
    lines = [line for run in runs if len((line := points(run))[0])]
    out = Series("", 0, n=len(lines))
    if lines:
        out.x = statistics.common_grid([x for x, _ in lines])
        values = np.stack([np.interp(out.x, x, y) for x, y in lines])
        out.y = statistics.iqm(values.T)
        out.low, out.high = statistics.bootstrap_curve(values)
    return out


def curves(groups: Sequence[Group]) -> list[Figure]:
    """Return the figures of evaluation and training over the groups that are drawn."""

    def logged(tag: str) -> Callable[[Run], Points]:
        return lambda run: run.points(tag)

    steps, episodes = "env steps", "training episodes"
    kinds: list[tuple[str, str, str, str, Callable[[Run], Points]]] = [
        ("success_steps", "Evaluation success over env steps", steps, _LAST, logged(SUCCESS)),
        ("success_seconds", "Evaluation success over training time", "training seconds", _LAST,
         success_by_seconds),
        ("return", "Return per training episode", episodes, "return", _by_episode("return")),
        ("success", "Success per training episode", episodes, _LAST, _by_episode("success")),
        ("final_distance", "Final distance per training episode", episodes, "distance to the goal",
         _by_episode("final_distance")),
        ("critic_loss", "Critic loss", steps, "critic loss", logged("train/critic_loss")),
        ("actor_loss", "Actor loss", steps, "actor loss", logged("train/actor_loss")),
        ("q_mean", "Mean Q", steps, "mean Q", logged("train/q_mean")),
    ]  # fmt: skip
    return [
        Figure(name, title, x, y, _series(groups, points), "y" if y == _LAST else "")
        for name, title, x, y, points in kinds
    ]


def _series(groups: Sequence[Group], points: Callable[[Run], Points]) -> list[Series]:
    series = []
    runs = sum(len(group.runs) for group in groups)
    for color, group in enumerate(groups):
        one = curve(group.counted, points)
        one.label, one.color, one.name = group.label, color, _named(group.label, one.n)
        for run in group.runs:
            line = points(run)
            if len(line[0]) and (run.counted or run.status != "done"):
                one.thin.append(_thinned(line, _POINTS // max(runs, 1), one.x))
        if one.thin:
            series.append(one)
    return series


def _thinned(points: Points, most: int, grid: Floats) -> Points:
    """Draw a long line at evenly spread points: where the thick one is, which then lies among them."""
    (x, y), most = points, min(max(most, 20), 400)
    if len(x) <= most:
        return points
    at = grid if 0 < len(grid) <= most else np.linspace(x[0], x[-1], most)
    kept = np.unique(np.clip([x[0], *at, x[-1]], x[0], x[-1]))
    return kept, np.interp(kept, x, y)


# --- comparisons -------------------------------------------------------------------------------


def profiles(groups: Sequence[Group]) -> Figure:
    """Return the performance profile: the share of a group's runs that reach each success rate."""
    taus = np.unique([0.0, 1.0, *(score for group in groups for score in group.scores)])
    series = []
    for color, group in enumerate(groups):
        if len(scores := group.scores):
            low, high = statistics.bootstrap(lambda s: statistics.profile(s, taus), [scores])
            y = statistics.profile(scores, taus)
            name, n = _named(group.label, len(scores)), len(scores)
            series.append(Series(group.label, color, name, taus, y, low, high, n))
    note = "Share of the runs that are done whose success at the last step is tau or more."
    return Figure(
        "profile", "Performance profile", f"{_LAST}, tau", "share of runs", series, "xy", note,
        steps=True,
    )  # fmt: skip


def compared(groups: Sequence[Group]) -> list[Row]:
    """Return for each two groups with the same task the probability that a run of the better one wins."""
    ranked = sorted((one for one in groups if one.counted), key=_best_first)
    rows = []
    for x, y in combinations(ranked, 2):
        if x.task == y.task:
            low, high = statistics.bootstrap(statistics.improvement, [x.scores, y.scores])
            rows.append({
                "x": x.label, "y": y.label,
                "probability": float(statistics.improvement(x.scores, y.scores)),
                "low": float(low), "high": float(high),
                "x_seeds": len(x.scores), "y_seeds": len(y.scores),
            })  # fmt: skip
    return rows


def improvements(groups: Sequence[Group], rows: Sequence[Row]) -> Figure:
    """Return the figure of what is `compared`."""
    labels = [group.label for group in groups]
    series = []
    for row in rows:
        name = "  >  ".join(_named(row[one], row[f"{one}_seeds"]) for one in "xy")
        y, low, high = (np.array([row[key]]) for key in ("probability", "low", "high"))
        series.append(Series("", labels.index(row["x"]), name, y=y, low=low, high=high))
    note = (
        "Chance that a run of the first group ends with more success than one of the second, ties by "
        "half, with its 95% bootstrap interval; 50% is no difference."
    )
    return Figure("improvement", "Probability of improvement", "P(X > Y)", "", series, "x", note,
                  rows=True, middle=0.5)  # fmt: skip


def all_figures(groups: Sequence[Group], rows: Sequence[Row]) -> list[Figure]:
    """Return every figure that has something to show; `rows` says how the groups are `compared`."""
    made = [final_success(groups), *curves(groups), improvements(groups, rows), profiles(groups)]
    return [figure for figure in made if figure.series]
