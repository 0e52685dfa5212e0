"""Reads run folders. One may be a stranger's, and it may be damaged."""

from __future__ import annotations

import csv
import fcntl
import json
import math
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from omegaconf import OmegaConf

from her_exp.config.hydra_api import plain
from her_exp.run import apply, changes_of
from her_exp.text import one_line
from her_exp.types import UserError

Floats = NDArray[np.float64]
#: x (env steps, episodes or seconds, growing) and y, both (n,).
Points = tuple[Floats, Floats]

#: What the report reads from `metrics.csv`.
TAGS = (
    "eval/success_final", "rollout/return", "rollout/success", "rollout/final_distance",
    "rollout/episodes", "train/critic_loss", "train/actor_loss", "train/q_mean", "time/train_s",
)  # fmt: skip
_HEADER = ["env_steps", "tag", "value"]
_LARGEST = 1_000_000  # bytes of a config or a JSON file; ours have a few thousand
_LEAVES = 10_000  # settings of a run, at most; ours have about a hundred
_LOG_TAIL = 200_000  # bytes of run.log that are searched for warnings
_WARNINGS = 5  # of a run that are shown


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
        return number(self.result.get("eval"), "success_final")

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
    run.story = _try(run, "run.json", _json)
    run.settings = _try(run, "config.yaml", lambda path: _settings(path, run))
    run.result = _try(run, "result.json", _json)
    run.status, run.reason = _status(run)
    run.series = _try(run, "metrics.csv", lambda path: _series(path, run))
    if run.status in ("done", "unreadable") and run.missing:
        verb = "is" if len(run.missing) == 1 else "are"
        run.problems.append(f"{', '.join(run.missing)} {verb} missing")
    run.warnings = _log_warnings(folder / "run.log")
    return run


def _try(run: Run, name: str, reader: Any) -> dict[str, Any]:
    path = run.folder / name
    try:
        if path.exists() and not path.is_file():  # to open a pipe would be to wait
            raise ValueError("no file")
        content = reader(path)
        if not isinstance(content, dict):
            raise ValueError("no mapping")
        return content
    except FileNotFoundError:
        run.missing.append(name)
    except UserError as error:
        run.problems.append(f"{name}: {error}")
    except (OSError, ValueError, yaml.YAMLError, RecursionError, csv.Error) as error:
        run.problems.append(f"{name} cannot be read ({one_line(str(error))[:120]})")
    return {}


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"more than {_LARGEST:,} bytes")
    return path.read_text()


def _clean(node: Any) -> Any:
    """Return values whose text can be written: half a surrogate pair, which JSON and YAML allow, cannot."""
    if isinstance(node, dict):
        return {_clean(key): _clean(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_clean(value) for value in node]
    return node.encode(errors="replace").decode() if isinstance(node, str) else node


def _json(path: Path) -> Any:
    return _clean(json.loads(_text(path)))


def _settings(path: Path, run: Run) -> dict[str, Any]:
    text = _text(path)
    # What OmegaConf writes has none, and a few of them make a small file endless.
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.CSafeLoader)):
        raise ValueError("has aliases")
    values = yaml.load(text, yaml.CSafeLoader)
    if not isinstance(values, dict):
        raise ValueError("no mapping")
    flat = flatten(values)
    for overrides in changes_of(run.folder) if run.story.get("resumes") else ():
        cfg = OmegaConf.create(values)
        apply(cfg, overrides)
        values = plain(cfg)
        flat = flatten(values)
    return flat


def flatten(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return nested settings as `group.key` to value, without what only Hydra reads."""
    flat: dict[str, Any] = {}

    def walk(node: Any, key: str) -> None:
        if isinstance(node, dict) and node:
            for name, value in node.items():
                walk(value, f"{key}.{name}" if key else str(name))
        elif not key.endswith("_convert_"):
            flat[_clean(key)] = _clean(node)
        if len(flat) > _LEAVES:
            raise ValueError(f"more than {_LEAVES:,} values")

    walk(values, "")
    return flat


def _series(path: Path, run: Run) -> dict[str, Points]:
    found: dict[str, dict[int, float]] = {tag: {} for tag in TAGS}
    bad, whole = 0, b"\n"
    with path.open("rb") as raw:
        if raw.seek(0, os.SEEK_END):
            raw.seek(-1, os.SEEK_END)
            whole = raw.read(1)
    with path.open(newline="", errors="replace") as file:
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
    status = str(run.result.get("status") or "")
    reason = one_line(str(run.result.get("reason") or ""))
    if not run.settings:
        return "unreadable", reason
    if status in ("", "running"):
        if _is_locked(run.folder / "run.lock"):
            return "running", "another process is at it"
        if status or not (run.folder / "result.json").exists():
            again = shlex.quote(f"resume={run.folder}")
            return "killed", f"left no word; {again} goes on, where a checkpoint is"
        return "unreadable", ""
    if status == "done" and math.isnan(run.success):
        return "unreadable", "result.json says done and holds no evaluation"
    return status, reason


def _is_locked(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _log_warnings(path: Path) -> list[str]:
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = re.findall(r"\[(?:WARNING|ERROR)\] (.*)", text)
    return [line.strip()[:300] for line in dict.fromkeys(lines)][:_WARNINGS]
