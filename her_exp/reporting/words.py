"""Words for numbers, the same on the page, in its figures and on the terminal; and what a terminal shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from her_exp.reporting.figures import FEW, Row
from her_exp.text import printable

TOO_SURE = (
    f"† fewer than {FEW} seeds: the bootstrap interval is too narrow; it has no width where all agree, "
    "and of one seed there is none"
)
_WIDEST = 60  # characters of a group's label


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


def lines(final: Sequence[Row], states: str) -> list[str]:
    """Return a table with a line for each group, and what became of the runs."""
    rows = [["group", "seeds", "success, pooled", "success, IQM", "env steps to 95%"]]
    for row in final:
        label = row["group"]
        rows.append([
            label if len(label) <= _WIDEST else f"{label[: _WIDEST - 3]}...", seeds(row),
            percent(row["success"]) + interval(row, "success"),
            f"{percent(row['iqm'])}{interval(row, 'iqm')} {mark(row)}".rstrip(),
            count(row["steps_to_95"]),
        ])  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    shown = shown if final else []
    shown += [TOO_SURE] if any(map(mark, final)) else []
    return [*map(printable, [*shown, states])]
