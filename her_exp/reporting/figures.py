"""What the figures of a report show, as numbers; `draw.py` makes a page's and a printer's of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from her_exp.reporting import statistics
from her_exp.reporting.groups import Group
from her_exp.reporting.runs import Floats, Points, Run

DRAWN = 8  # groups in a figure, at most: as many as a palette tells apart
WINDOW = 100  # episodes of a moving average, at most
FEW = 5  # seeds; of fewer a bootstrap interval is too narrow, and a reader is told so
_POINTS = 20_000  # of the thin lines of a figure


@dataclass
class Series:
    """One group in a figure.

    Attributes:
        label, color: the group, and its place in the palette.
        x, y, low, high: the curve and its band, each (n,); empty where no run counts.
        n: seeds behind the curve.
        thin: a line for each run: its seed, x and y.
    """

    label: str
    color: int
    x: Floats = field(default_factory=lambda: np.empty(0))
    y: Floats = field(default_factory=lambda: np.empty(0))
    low: Floats = field(default_factory=lambda: np.empty(0))
    high: Floats = field(default_factory=lambda: np.empty(0))
    n: int = 0
    thin: list[tuple[str, Floats, Floats]] = field(default_factory=list)


@dataclass
class Figure:
    """A figure: curves over x, or, where `rows` is set, points with intervals, a row each."""

    name: str
    title: str
    x_label: str
    y_label: str
    note: str
    series: list[Series]
    share: bool = False  #: y is a share, from 0 to 1
    rows: bool = False


def drawn(groups: Sequence[Group]) -> list[Group]:
    """Return the groups that figures show: all, or the best of each task."""
    ranks: dict[str, int] = {}
    places = {}
    for one in sorted(groups, key=_best_first):
        ranks[one.env] = ranks.get(one.env, -1) + 1
        places[id(one)] = (ranks[one.env], _best_first(one))
    best = sorted(places, key=lambda which: places[which])[:DRAWN]
    return [one for one in groups if id(one) in best]


def _best_first(one: Group) -> float:
    return -float(statistics.iqm(one.scores)) if len(one.scores) else math.inf


# --- curves ------------------------------------------------------------------------------------


def _over_steps(tag: str) -> Callable[[Run], Points]:
    return lambda run: run.points(tag)


def success_by_seconds(run: Run) -> Points:
    """Return training seconds and success of a run's evaluations.

    Seconds are logged every `trainer.log_every` env steps; between two lines they are interpolated.
    """
    steps, success = run.points("eval/success_final")
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
        (steps, values), (others, episodes) = run.points(tag), run.points("rollout/episodes")
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


_STEPS, _EPISODES = "env steps", "training episodes"
_BAND = (
    "Thick: {middle} over the seeds that are done; band: its 95 % bootstrap interval. Thin: each "
    "seed.{of}"
)
_SMOOTH = f" All are moving averages over a tenth of a run's episodes, at most {WINDOW} of them."
_NARROW = f" With fewer than {FEW} seeds the band is too narrow."


def curves(groups: Sequence[Group]) -> list[Figure]:
    """Return the figures of evaluation and training over the groups that are drawn."""
    success = _over_steps("eval/success_final")
    made = [
        _curves(groups, "success_steps", "Evaluation success over env steps", _STEPS,
                "success at the last step", success, share=True),
        _curves(groups, "success_seconds", "Evaluation success over training time",
                "training seconds", "success at the last step", success_by_seconds,
                share=True),
    ]  # fmt: skip
    for tag, title, label in (
        ("return", "Return per training episode", "return"),
        ("success", "Success per training episode", "success at the last step"),
        ("final_distance", "Final distance per training episode", "distance to the goal"),
    ):
        made.append(
            _curves(groups, tag, title, _EPISODES, label, _by_episode(f"rollout/{tag}"),
                    share=tag == "success", of=_SMOOTH)
        )  # fmt: skip
    for tag, title in (
        ("critic_loss", "Critic loss"),
        ("actor_loss", "Actor loss"),
        ("q_mean", "Mean Q"),
    ):
        points = _over_steps(f"train/{tag}")
        made.append(_curves(groups, tag, title, _STEPS, title.lower().replace("q", "Q"), points))
    return made


def _curves(
    groups: Sequence[Group], name: str, title: str, x: str, y: str,
    points: Callable[[Run], Points], share: bool = False, of: str = "",
) -> Figure:  # fmt: skip
    series = []
    runs = sum(len(group.runs) for group in groups)
    for color, group in enumerate(groups):
        one = curve(group.counted, points)
        one.label, one.color = group.label, color
        for run in group.runs:
            line = points(run)
            if len(line[0]) and (run.counted or run.status != "done"):
                mark = "" if run.counted else f" ({run.status})"
                one.thin.append(
                    (f"seed {run.seed}{mark}", *_thinned(line, _POINTS // max(runs, 1), one.x))
                )
        if one.thin:
            series.append(one)
    few = any(0 < one.n < 4 for one in series)
    middle = "IQM" + (" (the mean where there are fewer than 4)" if few else "")
    note = _BAND.format(middle=middle, of=of) + _narrow(series)
    return Figure(name, title, x, y, note, series, share)


def _narrow(series: Sequence[Series]) -> str:
    return _NARROW if any(0 < one.n < FEW for one in series) else ""


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
    taus = np.linspace(0.0, 1.0, 101)
    series = []
    for color, group in enumerate(groups):
        if len(scores := group.scores):
            low, high = statistics.bootstrap(lambda s: statistics.profile(s, taus), [scores])
            y = statistics.profile(scores, taus)
            series.append(Series(group.label, color, taus, y, low, high, len(scores)))
    note = (
        "Share of the runs that are done whose success at the last step is tau or more; band: 95 %."
    ) + _narrow(series)
    return Figure("profile", "Performance profile", "success at the last step, tau",
                  "share of runs", note, series, share=True)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Probability that a run of group `x` beats one of group `y`, with its interval."""

    x: Group
    y: Group
    value: float
    low: float
    high: float


def pairs(groups: Sequence[Group]) -> list[Pair]:
    """Compare each two groups with the same task; the better one comes first."""
    ranked = sorted((one for one in groups if len(one.scores)), key=_best_first)
    found = []
    for i, x in enumerate(ranked):
        for y in ranked[i + 1 :]:
            if x.env == y.env:
                value = float(statistics.improvement(x.scores, y.scores))
                interval = statistics.bootstrap(statistics.improvement, [x.scores, y.scores])
                found.append(Pair(x, y, value, *map(float, interval)))
    return found


def improvements(groups: Sequence[Group], compared: Sequence[Pair]) -> Figure:
    """Return the figure of `pairs`."""
    series = []
    for pair in compared:
        color = next(i for i, group in enumerate(groups) if group is pair.x)
        y, low, high = (np.array([v]) for v in (pair.value, pair.low, pair.high))
        label = f"{pair.x.label}  >  {pair.y.label}"
        n = min(len(pair.x.scores), len(pair.y.scores))
        label += " †" if n < FEW else ""
        series.append(Series(label, color, y=y, low=low, high=high, n=n))
    note = (
        "Chance that a run of the first group ends with more success than one of the second, ties by "
        "half, with its 95 % bootstrap interval; 0.5 is no difference."
    )
    if any(one.n < FEW for one in series):
        note += f" † fewer than {FEW} seeds in one of the two: its interval is too narrow."
    return Figure("improvement", "Probability of improvement", "P(X > Y)", "", note, series,
                  share=True, rows=True)  # fmt: skip


def all_figures(groups: Sequence[Group], compared: Sequence[Pair]) -> list[Figure]:
    """Return every figure that has something to show; `compared` holds the `pairs` of the groups."""
    made = [*curves(groups), improvements(groups, compared), profiles(groups)]
    return [figure for figure in made if figure.series]
