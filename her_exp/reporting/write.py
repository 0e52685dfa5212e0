"""Puts a report together and writes it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from her_exp.reporting import aggregate, draw, figures, page, tables
from her_exp.reporting.groups import Group, group
from her_exp.reporting.runs import Run, last_picture
from her_exp.reporting.words import lines
from her_exp.text import shortened

_TRIED = 3  # runs of a group that are searched for a picture
_NAMED, _LISTED = 2, 6  # agents and tasks in the title, settings in a line, at most
_LINES = 20  # about damage, at most: what is left stands in runs.csv


def write(runs: Sequence[Run], folder: Path, name: str) -> list[str]:
    """Write the report on `runs` into a folder that exists; returns it in a few lines."""
    groups = group(runs)
    shown = figures.drawn(groups)
    pictures = [_picture(one) for one in shown]
    compared = figures.compared(shown)
    made = figures.all_figures(shown, compared)
    rows = {figure.name: tables.points(figure) for figure in made if not figure.rows} | {
        "final": tables.final(groups),
        "hyperparameters": tables.hyperparameters(groups),
        "runs": tables.listed(runs, groups),
    }
    if compared:
        rows["improvement"] = compared
    files = {f"{table}.csv": tables.to_csv(each) for table, each in rows.items()}
    for figure in tqdm(made, unit="figure", disable=None, leave=False):
        files[f"{figure.name}.png"] = draw.to_png(figure)
    states = _states(runs)
    many = f"{len(groups)} group{'s' * (len(groups) != 1)}"
    title, shared = _head(groups)
    for file, data in files.items():
        (folder / file).write_bytes(data)
    aggregate.write(groups, folder.parent / "aggregate")
    text = page.render(
        title=title, shared=shared, groups=groups, drawn=shown, figures=made, pictures=pictures,
        facts=[f"runs={name}", many, states, time.strftime("%Y-%m-%d %H:%M")],
        notes=[*_notes(runs, groups, shown), *damage(runs)], files=files,
        **{key: rows[key] for key in ("final", "hyperparameters", "runs")},
    )  # fmt: skip
    temporary = folder / f".index.{os.getpid()}.tmp"
    temporary.write_bytes(text.encode(errors="replace"))
    temporary.replace(folder / "index.html")
    return lines(rows["final"], states)


def damage(runs: Sequence[Run]) -> list[str]:
    """Return what is damaged in which run."""
    lines = [f"{run.folder}: {line}" for run in runs for line in run.problems]
    more = len(lines) - _LINES
    return [*lines[:_LINES], f"and {more} more, see runs.csv"] if more > 0 else lines


def _head(groups: Sequence[Group]) -> tuple[str, str]:
    """Name agents and tasks, and say in a line what all groups share, and what they do not."""
    if not groups:
        return "Report: no run can be read", ""
    titles, same = [], []
    for word in ("agent", "task"):
        names = list(dict.fromkeys(shortened(getattr(one, word), 60) for one in groups))
        titles.append(" and ".join(names) if len(names) <= _NAMED else f"{len(names)} {word}s")
        same += [f"{word} {names[0]}"] if len(names) == 1 else []
    title = f"Report: {titles[0]} on {titles[1]}"
    if len(groups) == 1:
        return title, "One group: its runs differ in their seed only."
    keys = list(dict.fromkeys(key for one in groups for key in one.differs))
    more = [f"{len(keys) - _LISTED} more settings"] if len(keys) > _LISTED else []
    differ = f"They differ in {', '.join([*keys[:_LISTED], *more])}."
    return title, f"All groups: {', '.join(same)}. {differ}" if same else differ


def _picture(one: Group) -> tuple[str, str, bytes | None]:
    """Return the picture of a group's first run that has one, those that count first."""
    for run in sorted(one.runs, key=lambda run: not run.counted)[:_TRIED]:
        if (image := last_picture(run)) is not None:
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
