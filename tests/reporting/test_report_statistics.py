"""The statistics of reports against scipy's, on the same data and the same resamples."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from her_exp.reporting import statistics
from tests.reporting.report_kit import Floats, interval, trimmed


def scores(n: int, seed: int = 0) -> Floats:
    return np.random.default_rng((n, seed)).integers(0, 101, n) / 100


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


def test_a_grid_of_many_points_is_thinned() -> None:
    grid = statistics.common_grid([np.arange(1.0, 1001), np.arange(5.0, 900)])
    assert (len(grid), grid[0], grid[-1]) == (200, 5, 1000)
