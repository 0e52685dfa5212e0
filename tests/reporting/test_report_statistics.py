"""The statistics of reports against scipy's, on the same data and the same resamples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from her_exp.reporting import statistics
from her_exp.reporting.statistics import RESAMPLES

Floats = NDArray[np.float64]


def scores(n: int, seed: int = 0) -> Floats:
    return np.random.default_rng((n, seed)).integers(0, 101, n) / 100


def trimmed(drawn: Floats, axis: int = -1) -> Any:
    return scipy.stats.trim_mean(drawn, 0.25, axis=axis)


def interval(statistic: Any, *strata: Floats) -> tuple[float, float]:
    """The interval by scipy's own bootstrap."""
    found = scipy.stats.bootstrap(
        strata, statistic, n_resamples=RESAMPLES, vectorized=True, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return found.low, found.high


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 11, 100])
def test_iqm_is_the_trimmed_mean(n: int) -> None:
    drawn = scores(n)
    both = np.stack([drawn, drawn[::-1] + 1])
    assert statistics.iqm(both) == pytest.approx(trimmed(both), abs=1e-15)
    if n > 1:
        low, high = statistics.bootstrap(statistics.iqm, [drawn])
        assert (low, high) == pytest.approx(interval(trimmed, drawn), abs=1e-12)
        assert low <= statistics.iqm(drawn) <= high


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 5), (10, 4)])
def test_probability_of_improvement_is_mann_whitneys(n: int, m: int) -> None:
    x, y = scores(n, 1), scores(m, 2)
    x[0] = y[0]  # a tie

    def by_scipy(x: Floats, y: Floats, axis: int = -1) -> Floats:
        u = scipy.stats.mannwhitneyu(x, y, axis=axis, method="asymptotic").statistic
        return np.asarray(u / (n * m))

    assert statistics.improvement(x, y) == pytest.approx(float(by_scipy(x, y)))
    low, high = statistics.bootstrap(statistics.improvement, [x, y])
    assert (low, high) == pytest.approx(interval(by_scipy, x, y), abs=1e-12)


@pytest.mark.parametrize("runs", [6, 400])  # all points at once, and some at a time
def test_interval_of_a_curve_is_that_of_each_point(runs: int) -> None:
    values = np.random.default_rng(3).random((runs, 9))
    for point, low, high in zip(values.T, *statistics.bootstrap_curve(values), strict=True):
        alone = statistics.bootstrap(statistics.iqm, [point])
        assert (low, high) == pytest.approx(alone, abs=1e-12)


def test_one_seed_has_no_interval() -> None:
    many, one = scores(5), np.array([0.5])
    assert np.isnan(statistics.bootstrap_curve(np.ones((1, 3)))).all()
    assert np.isnan(statistics.bootstrap(statistics.improvement, [many, one])).all()


def test_profile_counts_who_reaches() -> None:
    shares = statistics.profile(np.array([0.0, 0.5, 0.5, 1.0]), np.array([0.0, 0.5, 0.51, 1.0]))
    assert shares.tolist() == [1.0, 0.75, 0.25, 0.25]


def test_moving_average_is_the_mean_of_the_last_episodes() -> None:
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 9, 60)  # episodes that ended with each step
    values, ends = generator.random(60), np.cumsum(sizes)
    each = np.repeat(values, sizes)
    wanted = [each[max(0, end - 100) : end].mean() for end in ends]
    assert statistics.moving_average(ends.astype(float), values, 100) == pytest.approx(wanted)
    assert sizes.sum() > 200


def test_grid_holds_the_runs_own_points_or_evenly_many() -> None:
    grid = statistics.common_grid([np.array([10.0, 20, 30]), np.array([12.0, 20])])
    assert grid.tolist() == [12, 20, 30]  # from where all have begun to where the last one ends
    grid = statistics.common_grid([np.arange(1.0, 1001), np.arange(5.0, 900)])
    assert (len(grid), grid[0], grid[-1]) == (200, 5, 1000)
