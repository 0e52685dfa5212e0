"""Interquartile mean, stratified bootstrap, probability of improvement, performance profile.

After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
arXiv:2108.13264. Formulas in words: docs/report.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[Floats, Floats]

RESAMPLES = 2000
LEVEL = 0.95
_CELLS = 5_000_000  # numbers that are resampled at once


def iqm(scores: Floats) -> Floats:
    """Return the mean of the middle half of the last axis: a quarter is cut off at each end.

    Of n scores `n // 4` are cut at each end, so that of fewer than four it is the mean.
    """
    cut = scores.shape[-1] // 4
    middle = np.sort(scores, axis=-1)[..., cut : scores.shape[-1] - cut]
    return np.asarray(middle.mean(-1))


def improvement(x: Floats, y: Floats) -> Floats:
    """Return the probability that a run of `x` (..., n) beats one of `y` (..., m); ties count half."""
    x, y = x[..., :, None], y[..., None, :]
    return np.asarray(((x > y) + 0.5 * (x == y)).mean((-2, -1)))


def profile(scores: Floats, taus: Floats) -> Floats:
    """Return for each tau the share of `scores` (..., n) that reach it: (..., len(taus))."""
    return np.asarray((scores[..., None, :] >= taus[:, None]).mean(-1))


def bootstrap(
    statistic: Callable[..., Floats], strata: Sequence[NDArray[Any]], *, seed: int = 0
) -> Interval:
    """Return the 95 % percentile interval of `statistic(*strata)`.

    Each stratum (n,) is resampled by itself, with replacement; `statistic` gets them as (resamples, n)
    and keeps the first axis. Of a stratum with one score there is nothing to resample: NaN.
    """
    generator = np.random.default_rng(seed)
    drawn = [s[generator.integers(0, len(s), (RESAMPLES, len(s)))] for s in strata]
    values = statistic(*drawn)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    if min(len(stratum) for stratum in strata) < 2:
        return np.full_like(low, np.nan), np.full_like(high, np.nan)
    return low, high


def bootstrap_curve(values: Floats) -> Interval:
    """Return the pointwise interval of the IQM of `values` (n runs, t points): two arrays (t,).

    All points of a resample are of the same runs.
    """
    runs, length = values.shape
    size = max(1, _CELLS // (RESAMPLES * runs))

    def interval(points: Floats) -> Interval:
        return bootstrap(lambda drawn: iqm(np.moveaxis(points[drawn], 1, -1)), [np.arange(runs)])

    parts = [interval(values[:, start : start + size]) for start in range(0, length, size)]
    low, high = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    return low, high


def moving_average(episodes: Floats, values: Floats, window: int = 100) -> Floats:
    """Return the mean over the last `window` episodes at each point.

    Args:
        episodes: episodes so far (n,), growing.
        values: mean over the episodes since the point before (n,).
    """
    ends = np.concatenate([[0.0], episodes])
    sums = np.concatenate([[0.0], np.cumsum(values * np.diff(ends))])
    begin = np.maximum(episodes - window, 0.0)
    # A sum over episodes grows evenly between two points, since one mean stands for all of them.
    total: Floats = sums[1:] - np.interp(begin, ends, sums)
    return total / np.maximum(episodes - begin, 1.0)


def common_grid(curves: Sequence[Floats], points: int = 200) -> Floats:
    """Return where curves with these x are compared: from the latest begin to the latest end.

    All their own x where these are at most `points`, else as many at even distances.
    """
    first, last = max(x[0] for x in curves), max(x[-1] for x in curves)
    own = np.unique(np.concatenate(curves))
    own = own[(own >= first) & (own <= last)]
    return own if len(own) <= points else np.linspace(first, last, points)
