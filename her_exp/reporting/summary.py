"""A report in a few lines for the terminal: the page's own numbers, in the page's own words."""

from __future__ import annotations

from her_exp.reporting.sections import TOO_SURE, Content, count, seeds_of, share, spread, sure
from her_exp.text import printable

_WIDEST = 60  # characters of a group's label


def lines(content: Content) -> list[str]:
    """Return a table with a line for each group, and what became of the runs."""
    rows = [["group", "seeds", "success, pooled", "success, IQM", "env steps to 95 %"]]
    for row in content.final:
        label = row["group"]
        rows.append([
            label if len(label) <= _WIDEST else f"{label[: _WIDEST - 3]}...",
            seeds_of(row), share(row["success"]) + spread(row, "success"),
            share(row["iqm"]) + spread(row, "iqm") + ("" if sure(row) else " †"),
            count(row["steps_to_95"]),
        ])  # fmt: skip
    shown = _aligned(rows) if content.final else []
    shown += [] if all(map(sure, content.final)) else [TOO_SURE]
    return [*map(printable, [*shown, content.states])]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
