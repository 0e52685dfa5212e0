"""A report in a few lines for the terminal: the page's own numbers, in the page's own words."""

from __future__ import annotations

from her_exp.reporting.page import Content
from her_exp.reporting.words import TOO_SURE, count, interval, mark, percent, seeds
from her_exp.text import printable

_WIDEST = 60  # characters of a group's label


def lines(content: Content) -> list[str]:
    """Return a table with a line for each group, and what became of the runs."""
    rows = [["group", "seeds", "success, pooled", "success, IQM", "env steps to 95%"]]
    for row in content.final:
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
    shown = shown if content.final else []
    shown += [TOO_SURE] if any(map(mark, content.final)) else []
    return [*map(printable, [*shown, content.states])]
