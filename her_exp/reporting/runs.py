"""Reads run folders. One may be a stranger's, and it may be damaged."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from her_exp.store.files import load_json, load_yaml, open_file
from her_exp.store.folder import CONFIG, LOG, METRICS, PATHS_LAST, RESULT, STORY, flatten, status_of
from her_exp.text import one_line

Floats = NDArray[np.float64]
#: x (env steps, episodes or seconds, growing) and y, both (n,).
Points = tuple[Floats, Floats]

#: What the report reads from `metrics.csv`.
TAGS = (
    "eval/success_final", "rollout/return", "rollout/success", "rollout/final_distance",
    "rollout/episodes", "train/critic_loss", "train/actor_loss", "train/q_mean", "time/train_s",
)  # fmt: skip
_HEADER = ["env_steps", "tag", "value"]
_LOG_TAIL = 200_000  # bytes of run.log that are searched for warnings
_WARNINGS = 5  # of a run that are shown
_LARGEST, _SIDE = 10_000_000, 4096  # bytes and pixels of a picture


@dataclass
class Run:
    """A run folder, as far as it can be read.

    Attributes:
        settings: its configuration, `group.key` to value, what was changed on a resume included.
        story, result: `run.json` and `result.json`; empty where they cannot be read.
        status: done, failed, stopped, running, killed, or unreadable.
        reason: why it is not done.
        series: the metrics that a report shows.
        problems: what is damaged, one line each.
        missing: files that are not there.
        warnings: what the run itself warned of.
        counted: the run is part of its group's numbers.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    story: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    status: str = "unreadable"
    reason: str = ""
    series: dict[str, Points] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counted: bool = False

    @property
    def seed(self) -> Any:
        """The seed in its configuration."""
        return self.settings.get("seed")

    @property
    def success(self) -> float:
        """Success rate of the last evaluation, NaN where there is none."""
        rate = number(self.result.get("eval"), "success_final")
        return rate if 0 <= rate <= 1 else math.nan

    def points(self, tag: str) -> Points:
        """Return env steps and values of a tag, empty where it was not logged."""
        return self.series.get(tag, (np.empty(0), np.empty(0)))


def number(node: Any, *path: str) -> float:
    """Return a finite number from nested mappings, or NaN."""
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    known = isinstance(node, int | float) and not isinstance(node, bool) and abs(node) < 1e300
    return float(node) if known else math.nan


# --- reading -----------------------------------------------------------------------------------


def read(folder: Path) -> Run:
    """Read a run folder; what cannot be read is named in `problems`."""
    run = Run(folder)
    run.story = _try(run, STORY, lambda: load_json(folder, STORY))
    run.settings = _try(run, CONFIG, lambda: flatten(load_yaml(folder, CONFIG)))
    run.result = _try(run, RESULT, lambda: load_json(folder, RESULT))
    run.status, run.reason = _status(run)
    run.series = _try(run, METRICS, lambda: _series(run))
    if run.status in ("done", "unreadable") and run.missing:
        verb = "is" if len(run.missing) == 1 else "are"
        run.problems.append(f"{', '.join(run.missing)} {verb} missing")
    run.warnings = _log_warnings(folder)
    return run


def _try(run: Run, name: str, reader: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return reader()
    except FileNotFoundError:
        run.missing.append(name)
    except (OSError, ValueError, csv.Error) as error:
        run.problems.append(f"{name} cannot be read ({one_line(str(error))[:120]})")
    return {}


def _series(run: Run) -> dict[str, Points]:
    found: dict[str, dict[int, float]] = {tag: {} for tag in TAGS}
    bad, whole = 0, b"\n"
    with open_file(run.folder, METRICS, "rb") as raw:
        if raw.seek(0, os.SEEK_END):
            raw.seek(-1, os.SEEK_END)
            whole = raw.read(1)
    with open_file(run.folder, METRICS, newline="", errors="replace") as file:
        rows = csv.reader(line.replace("\0", "?") for line in file)
        if next(rows, None) != _HEADER:
            raise ValueError(f"does not begin with {','.join(_HEADER)}")
        last: tuple[str, int] | None = None
        for row in rows:
            try:
                steps, tag, text = row
                if tag in found:
                    found[tag][int(steps)] = float(text)
                    last = tag, int(steps)
            except ValueError:
                bad, last = bad + 1, None
    if whole != b"\n" and last is not None:  # 0.6 may be what is left of 0.63
        del found[last[0]][last[1]]
        bad += run.status != "running"  # whose last line is still being written
    if bad:
        run.problems.append(f"metrics.csv: {bad} damaged line{'s' * (bad > 1)} left out")
    return {tag: arrays for tag, values in found.items() if len((arrays := _arrays(values))[0])}


def _arrays(values: Mapping[int, float]) -> Points:
    kept = sorted((x, y) for x, y in values.items() if math.isfinite(y) and 0 <= x < 2**53)
    return np.array([x for x, _ in kept], float), np.array([y for _, y in kept], float)


def _status(run: Run) -> tuple[str, str]:
    status, reason = status_of(run.folder) or "", one_line(str(run.result.get("reason") or ""))
    if not run.settings:
        return "unreadable", reason
    if status == "running":
        return "running", "another process is at it"
    if status == "killed":
        if not run.result and RESULT not in run.missing:
            return "unreadable", ""
        again = shlex.quote(f"resume={run.folder}")
        return "killed", f"left no word; {again} goes on, where a checkpoint is"
    if status == "done" and math.isnan(run.success):
        return "unreadable", "result.json says done and holds no evaluation"
    return status, reason


def _log_warnings(folder: Path) -> list[str]:
    try:
        with open_file(folder, LOG, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = re.findall(r"\[(?:WARNING|ERROR)\] (.*)", text)
    return [line.strip()[:300] for line in dict.fromkeys(lines)][:_WARNINGS]


def last_picture(run: Run) -> bytes | None:
    """Return the last picture of a run's paths as PNG, or None; damage is noted in the run.

    It is decoded and encoded again: what goes onto the page is a picture and nothing else.
    """
    try:
        with (
            open_file(run.folder, PATHS_LAST, "rb") as file,
            Image.open(io.BytesIO(file.read(_LARGEST)), formats=["PNG"]) as image,
        ):
            if max(image.size) > _SIDE:
                raise ValueError("too large")
            out = io.BytesIO()
            image.convert("RGB").save(out, "PNG")
            return out.getvalue()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        run.problems.append(f"{PATHS_LAST} cannot be read")
        return None
