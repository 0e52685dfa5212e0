"""The tables of a report, as rows of plain values: for the page, for CSV files, for anything else."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from her_exp.reporting.explanations import explain
from her_exp.reporting.figures import Figure, Row
from her_exp.reporting.groups import Group, differing, show
from her_exp.reporting.runs import Run, number
from her_exp.training.evaluation import wilson_interval


def final(groups: Sequence[Group]) -> list[Row]:
    """Return the final numbers of each group; what is not known is NaN."""
    return [_final(group) for group in groups]


def _final(group: Group) -> Row:
    runs, scores = group.counted, group.scores
    row: Row = {
        "group": group.label, "runs": len(group.runs),
        "done": sum(run.status == "done" for run in group.runs), "seeds": len(runs),
    }  # fmt: skip
    sizes = np.array([number(run.result, "eval", "episodes") for run in runs])
    nan = float("nan")
    pooled: tuple[float, ...] = (nan, nan, nan)
    if len(runs) and np.isfinite(sizes).all() and sizes.sum() > 0:
        wins, n = round(float((scores * sizes).round().sum())), round(float(sizes.sum()))
        pooled = (wins / n, *wilson_interval(wins, n))
    row |= dict(zip(("success", "success_low", "success_high"), pooled, strict=True))
    row |= dict(zip(("iqm", "iqm_low", "iqm_high"), group.iqm, strict=True))
    row["each_seed"] = [float(score) for score in scores]
    reached = [[number(run.result, "reached", "0.95", key) for key in ("env_steps", "train_seconds")]
               for run in runs]  # fmt: skip
    row["reached_95"] = int(sum(np.isfinite(steps) for steps, _ in reached))
    for column, key in enumerate(("steps_to_95", "seconds_to_95")):
        row[key] = _median([one[column] for one in reached])
    for key in ("env_steps", "train_seconds"):
        values = [number(run.result, key) for run in runs]
        row[key] = float(np.median(values)) if values else nan
    return row


def _median(values: Sequence[float]) -> float:
    """Return the median where NaN, never reached, is later than everything; NaN if it is the median."""
    if not values:
        return float("nan")
    median = float(np.median(np.nan_to_num(values, nan=np.inf)))
    return median if np.isfinite(median) else float("nan")


def hyperparameters(groups: Sequence[Group]) -> list[Row]:
    """Return a row for each setting and each value that it has, those that differ first."""
    different = set(differing([group.settings for group in groups]))
    texts: dict[str, str] = {}
    for group in groups:
        texts = explain(group.settings) | texts
    rows, keys = [], {key for group in groups for key in group.settings}
    for key in sorted(keys, key=lambda key: (key not in different, key)):
        values: dict[str, list[str]] = {}
        for group in groups:
            if key in group.settings:
                values.setdefault(show(group.settings[key]), []).append(group.label)
        rows += [
            {"key": key, "value": value, "differs": key in different, "groups": labels,
             "explanation": texts.get(key, "")}
            for value, labels in values.items()
        ]  # fmt: skip
    return rows


def listed(runs: Sequence[Run], groups: Sequence[Group]) -> list[Row]:
    """Return what is known of each run, those of no group last."""
    labels = {id(run): group.label for group in groups for run in group.runs}
    ordered = [run for group in groups for run in group.runs]
    ordered += [run for run in runs if id(run) not in labels]
    return [_listed(run, labels.get(id(run), "")) for run in ordered]


def _listed(run: Run, label: str) -> Row:
    story = run.story
    commit = str(story.get("git_commit") or "")
    return {
        "folder": str(run.folder), "group": label, "seed": show(run.seed), "status": run.status,
        "reason": run.reason, "counted": run.counted, "success": run.success,
        "env_steps": number(run.result, "env_steps"),
        "train_seconds": number(run.result, "train_seconds"),
        **{key: str(story.get(key) or "") for key in ("command", "started", "ended")},
        "resumed": len(went_on) if isinstance(went_on := story.get("resumes"), list) else 0,
        "commit": commit + (" with changes (git.patch)" if story.get("git_changed") else ""),
        **{key: _words(story.get(key)) for key in ("versions", "machine")},
        "warnings": [*run.problems, *run.warnings],
    }  # fmt: skip


def _words(node: object) -> str:
    if not isinstance(node, Mapping):
        return ""
    return ", ".join(f"{key} {value}" for key, value in node.items() if value is not None)


def points(figure: Figure) -> list[Row]:
    """Return the curves of a figure, a row a point."""
    return [
        {"group": s.label, figure.x_label: x, "value": y, "low": low, "high": high, "seeds": s.n}
        for s in figure.series
        for x, y, low, high in zip(*(part.tolist() for part in (s.x, s.y, s.low, s.high)), strict=True)
    ]  # fmt: skip


_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a cell that begins so


def to_csv(rows: Sequence[Row]) -> bytes:
    """Return rows as CSV: numbers in full, NaN as nothing, lists joined by '; ', no formulas."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(map(_cell, rows[0] if rows else ()))
    writer.writerows([[_cell(value) for value in row.values()] for row in rows])
    return file.getvalue().encode(errors="replace")


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = "; ".join(repr(v) if isinstance(v, float) else str(v) for v in value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if isinstance(value, float) and np.isnan(value) else value
