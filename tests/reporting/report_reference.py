"""What a report must say, computed from the runs' own files by pandas and scipy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray
from omegaconf import OmegaConf

Floats = NDArray[np.float64]


def wide(folder: Path) -> pd.DataFrame:
    """The metrics of a run, a column a tag, as docs/her.md says to read them."""
    return pd.read_csv(folder / "metrics.csv").pivot_table("value", "env_steps", "tag")


def groups_of(root: Path) -> dict[int, list[Path]]:
    """The run folders of each `buffer.k`, by seed."""
    found: dict[int, list[tuple[int, Path]]] = {}
    for path in root.rglob("config.yaml"):
        cfg = OmegaConf.load(path)
        if ".hydra" not in path.parts:
            found.setdefault(cfg.buffer.k, []).append((cfg.seed, path.parent))
    return {k: [path for _, path in sorted(pairs)] for k, pairs in sorted(found.items())}


def numbers(rows: list[dict[str, str]], column: str) -> list[float]:
    return [float(row[column]) if row[column] else math.nan for row in rows]


def line_of(frame: pd.DataFrame, tag: str, against: str) -> tuple[Floats, Floats]:
    """A run's line in a figure, from its metrics."""
    if against == "episodes":
        frame = frame[["rollout/episodes", tag]].dropna()
        ends = frame["rollout/episodes"].astype(int)
        each = np.repeat(frame[tag].to_numpy(), np.diff([0, *ends]))
        last = min(100, max(1, ends.iloc[-1] // 10))
        return ends.to_numpy(float), np.array([each[max(0, n - last) : n].mean() for n in ends])
    values, seconds = frame[tag].dropna(), frame["time/train_s"].dropna()
    x = values.index.to_numpy(float)
    if against == "seconds":
        x = np.interp(x, [0, *seconds.index], [0, *seconds])
    return x, values.to_numpy()


def interpolated(folders: list[Path], tag: str, against: str) -> tuple[list[float], list[float]]:
    """IQM over runs of `tag` at every x of theirs, from where all have begun."""
    lines = [line_of(wide(path), tag, against) for path in folders]
    start = max(x[0] for x, _ in lines)
    grid = sorted({value for x, _ in lines for value in x.tolist() if value >= start})
    values = np.stack([np.interp(grid, x, y) for x, y in lines])
    return grid, scipy.stats.trim_mean(values, 0.25, axis=0).tolist()
