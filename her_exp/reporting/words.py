"""Words for numbers: the same on the page, in its figures and on the terminal."""

from __future__ import annotations

import math

from her_exp.reporting.figures import FEW, Row

TOO_SURE = (
    f"† fewer than {FEW} seeds: the bootstrap interval is too narrow; it has no width where all agree, "
    "and of one seed there is none"
)


def percent(value: float) -> str:
    """Return a share in per cent, or a dash."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}".removesuffix(".0") + "%"


def interval(row: Row, key: str) -> str:
    """Return the interval of a number in a row, in brackets, or nothing."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return "" if math.isnan(low) else f" ({percent(low)} to {percent(high)})"


def count(value: float, unit: str = "") -> str:
    """Return a number of steps or seconds, or a dash."""
    if math.isnan(value):
        return "-"
    return (f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}") + unit


def seeds(row: Row) -> str:
    """Return how many seeds count, and of how many runs where that says more."""
    return str(row["seeds"]) + (f" of {row['runs']} runs" if row["seeds"] < row["runs"] else "")


def mark(row: Row) -> str:
    """Return the sign of a bootstrap interval of too few seeds; of none there is no number to mark."""
    return "†" if 0 < row["seeds"] < FEW else ""
