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
from her_exp.reporting.page import Content
from her_exp.reporting.runs import Run, last_picture
from her_exp.text import shortened

_TRIED = 3  # runs of a group that are searched for a picture
_NAMED, _LISTED = 2, 6  # agents and tasks in the title, settings in a line, at most
_LINES = 20  # about damage, at most: what is left stands in runs.csv


def write(runs: Sequence[Run], folder: Path, name: str) -> Content:
    """Write the report on `runs` into a folder that exists; returns what its page shows."""
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
    content = Content(
        title=_title(groups),
        facts=[_facts(groups, runs, name), _common(groups)],
        states=_states(runs),
        notes=[*_notes(runs, groups, shown), *damage(runs)],
        groups=groups,
        drawn=shown,
        final=rows["final"],
        figures=made,
        hyperparameters=rows["hyperparameters"],
        pictures=pictures,
        runs=rows["runs"],
        files=files,
    )
    for file, data in files.items():
        (folder / file).write_bytes(data)
    aggregate.write(groups, folder.parent / "aggregate")
    temporary = folder / f".index.{os.getpid()}.tmp"
    temporary.write_bytes(page.render(content).encode(errors="replace"))
    temporary.replace(folder / "index.html")
    return content


def damage(runs: Sequence[Run]) -> list[str]:
    """Return what is damaged in which run."""
    lines = [f"{run.folder}: {line}" for run in runs for line in run.problems]
    more = len(lines) - _LINES
    return [*lines[:_LINES], f"and {more} more, see runs.csv"] if more > 0 else lines


def _title(groups: Sequence[Group]) -> str:
    """Name agents and tasks, or how many there are."""
    parts = []
    for what in ("agent", "env"):
        names = _all(groups, what)
        words = f"{len(names)} {'agents' if what == 'agent' else 'tasks'}"
        parts.append(words if len(names) > _NAMED else " and ".join(names))
    return f"Report: {parts[0]} on {parts[1]}" if groups else "Report: no run can be read"


def _common(groups: Sequence[Group]) -> str:
    """Say in a line what all groups share, and what they do not."""
    if len(groups) < 2:
        return "One group: its runs differ in their seed only." if groups else ""
    same, other = [], list(dict.fromkeys(key for one in groups for key in one.differs))
    for what, word in (("env", "task"), ("agent", "agent")):
        names = _all(groups, what)
        if len(names) == 1:
            same.append(f"{word} {names[0]}")
    other, more = other[:_LISTED], len(other) - _LISTED
    differ = ", ".join(other) + (f" and {more} more" if more > 0 else "")
    return (f"All groups: {', '.join(same)}. " if same else "") + f"They differ in {differ}."


def _all(groups: Sequence[Group], what: str) -> list[str]:
    return list(dict.fromkeys(shortened(getattr(one, what), 60) for one in groups))


def _facts(groups: Sequence[Group], runs: Sequence[Run], name: str) -> str:
    groups_ = f"{len(groups)} group{'s' * (len(groups) != 1)}"
    return " · ".join([f"runs={name}", groups_, _states(runs), time.strftime("%Y-%m-%d %H:%M")])


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
