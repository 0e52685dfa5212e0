"""Puts a report together and writes it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from her_exp.reporting import draw, events, figures, page, tables
from her_exp.reporting.groups import Group, group
from her_exp.reporting.runs import Run
from her_exp.reporting.sections import Content

_TRIED = 3  # runs of a group that are searched for a picture
_LINES = 20  # about damage, at most: what is left stands in runs.csv


def write(runs: Sequence[Run], folder: Path, name: str) -> Content:
    """Write the report on `runs` into a folder that exists; returns what its page shows."""
    groups = group(runs)
    shown = figures.drawn(groups)
    pictures = [_picture(one) for one in shown]
    compared = figures.pairs(shown)
    content = Content(
        title=f"Report on {name}",
        states=_states(runs),
        facts=[
            f"{len(groups)} group{'s' * (len(groups) != 1)}",
            _states(runs),
            time.strftime("%Y-%m-%d %H:%M"),
        ],
        notes=[*_notes(runs, groups, shown), *damage(runs)],
        groups=groups,
        drawn=shown,
        final=tables.final(groups),
        figures=figures.all_figures(shown, compared),
        hyperparameters=tables.hyperparameters(groups),
        pictures=pictures,
        runs=tables.listed(runs, groups),
        links={str(run.folder): os.path.relpath(run.folder, folder) for run in runs},
    )
    tables.write(content.final, folder / "final.csv")
    tables.write(content.hyperparameters, folder / "hyperparameters.csv")
    tables.write(content.runs, folder / "runs.csv")
    for figure in tqdm(content.figures, unit="figure", disable=None, leave=False):
        draw.to_png(figure, folder / f"{figure.name}.png")
        rows = tables.compared(compared) if figure.rows else tables.points(figure)
        tables.write(rows, folder / f"{figure.name}.csv")
    events.write_aggregates(groups, folder.parent / "aggregate")
    temporary = folder / f".index.{os.getpid()}.tmp"
    temporary.write_bytes(page.render(content).encode(errors="replace"))
    temporary.replace(folder / "index.html")
    return content


def damage(runs: Sequence[Run]) -> list[str]:
    """Return what is damaged in which run."""
    lines = [f"{run.folder}: {line}" for run in runs for line in run.problems]
    more = len(lines) - _LINES
    return [*lines[:_LINES], f"and {more} more, see runs.csv"] if more > 0 else lines


def _picture(one: Group) -> tuple[str, str, bytes | None]:
    """Return the picture of a group's first run that has one, those that count first."""
    for run in sorted(one.runs, key=lambda run: not run.counted)[:_TRIED]:
        if (image := events.last_picture(run)) is not None:
            return one.label, f"seed {run.seed}", image
    return one.label, "", None


def _states(runs: Sequence[Run]) -> str:
    states = Counter(run.status for run in runs).most_common()
    counts = ", ".join(f"{n} {status}" for status, n in states)
    return f"{len(runs)} run{'s' * (len(runs) != 1)}: {counts}"


def _notes(runs: Sequence[Run], groups: Sequence[Group], shown: Sequence[Group]) -> list[str]:
    """Return what a reader must know before the numbers."""
    notes = []
    left = sum(not run.counted for run in runs)
    if left:
        notes.append(
            f"{left} of {len(runs)} runs are not part of any number (not done, damaged, or a seed that "
            "ran twice); they are listed below with the reason."
        )
    if len(shown) < len(groups):
        notes.append(f"Figures show the {len(shown)} best of {len(groups)} groups, the tables all.")
    for one in groups:
        commits = {str(run.story.get("git_commit")) for run in one.counted}
        if len(commits) > 1:
            notes.append(f"{one.label}: its runs are of {len(commits)} versions of the code.")
    return notes
