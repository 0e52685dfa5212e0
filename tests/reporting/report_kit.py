"""Run folders made to order, and what a report must say of runs by pandas and scipy."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image

from her_exp.config.compose import compose
from her_exp.reporting.statistics import RESAMPLES
from her_exp.training.evaluation import wilson_interval

Rows = Sequence[tuple[int, str, float]]
Floats = NDArray[np.float64]
FIGURES = {
    "final", "success_steps", "success_seconds", "return", "success", "final_distance", "critic_loss",
    "actor_loss", "q_mean", "improvement", "profile",
}  # fmt: skip


@cache
def config(overrides: tuple[str, ...]) -> str:
    """`config.yaml` of a run with these overrides, all but its seed."""
    return OmegaConf.to_yaml(compose(["seed=987654", *overrides]), resolve=True)


def curve(
    seed: int, k: int, evaluations: int = 5, episodes: int = 8
) -> list[tuple[int, str, float]]:
    """Rows of a `metrics.csv`: noise that depends on the seed and rises with k."""
    generator = np.random.default_rng((seed, k))
    rows: list[tuple[int, str, float]] = []
    for number in range(1, evaluations + 1):
        step, episode = 100 * number, float(episodes * number)
        values = {
            "rollout/return": -50 + 10 * generator.random(),
            "rollout/success": float(generator.integers(0, 9)) / 8,
            "rollout/final_distance": generator.random(),
            "rollout/episodes": episode,
            "eval/success_final": min(1.0, generator.integers(0, 60) / 100 + k / 10),
            "train/critic_loss": generator.random(),
            "train/actor_loss": generator.random(),
            "train/q_mean": -generator.random(),
            "time/train_s": step / 50 + 0.1 * generator.random(),
        }
        rows += [(step, tag, float(value)) for tag, value in values.items()]
    return rows


def write_metrics(folder: Path, rows: Rows) -> None:
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("env_steps", "tag", "value"))
        writer.writerows((step, tag, repr(value)) for step, tag, value in rows)


def make_run(
    folder: Path,
    seed: int = 0,
    k: int = 4,
    *,
    overrides: Sequence[str] = (),
    rows: Rows | None = None,
    reached: Mapping[str, Any] | None = None,
    **result: Any,
) -> Path:
    """Write a run folder as `python -m her_exp.train buffer.k=... seed=...` leaves it."""
    folder.mkdir(parents=True)
    asked = (f"buffer.k={k}", *overrides)
    text = config(asked).replace("987654", str(seed))
    (folder / "config.yaml").write_text(text)
    rows = curve(seed, k) if rows is None else rows
    write_metrics(folder, rows)
    success = [value for _, tag, value in rows if tag == "eval/success_final"][-1]
    wins = round(100 * success)
    content = {
        "status": "done", "reason": None, "env_steps": rows[-1][0], "train_seconds": rows[-1][0] / 50,
        "eval": {"success_final": success, "episodes": 100, "interval": wilson_interval(wins, 100)},
        "reached": reached or {},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(content | result))
    story = {
        "command": f"python -m her_exp.train buffer.k={k} seed={seed}",
        "overrides": [*asked, f"seed={seed}"], "started": "2026-01-01T00:00:00+0000",
        "git_commit": "0123abc", "git_changed": False, "versions": {"python": "3.11", "torch": "2.13"},
        "machine": {"processor": "Abacus", "cores": 2},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(story))
    (folder / "run.lock").touch()
    return folder


def draw(folder: Path, shade: int) -> None:
    """Keep a grey picture as a run's last one."""
    Image.new("RGB", (8, 8), (shade,) * 3).save(folder / "paths_last.png")


def sweep(folder: Path, ks: Sequence[int] = (0, 4), seeds: int = 3) -> Path:
    """Write a sweep of runs."""
    for k in ks:
        for seed in range(seeds):
            make_run(folder / f"buffer.k={k},seed={seed}_{k}{seed}", seed, k)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def data_of(page: Path) -> dict[str, Any]:
    """The JSON that is embedded in a page."""
    found = re.search(
        r'<script type="application/json" id="report-data">(.*?)</script>', page.read_text()
    )
    assert found
    content: dict[str, Any] = json.loads(found.group(1))
    return content


def files_of(page: Path) -> dict[str, bytes]:
    """The files that a page itself holds, by the name that each is saved as."""
    found = re.findall(
        r'<a download="([^"]*)" href="data:[a-z/]+;base64,([^"]*)"', page.read_text()
    )
    return {name: base64.b64decode(content) for name, content in found}


def shade_of(png: bytes) -> int:
    return int(np.asarray(Image.open(io.BytesIO(png)))[0, 0, 0])


# --- by pandas and scipy, from the runs' own files ----------------------------------------------


def wide(folder: Path) -> pd.DataFrame:
    """The metrics of a run, a column a tag, as docs/her.md says to read them."""
    return pd.read_csv(folder / "metrics.csv").pivot_table("value", "env_steps", "tag")


def final_scores(folders: list[Path]) -> Floats:
    return np.array([wide(path)["eval/success_final"].iloc[-1] for path in folders])


def trimmed(drawn: Floats, axis: int = -1) -> Any:
    return scipy.stats.trim_mean(drawn, 0.25, axis=axis)


def interval(statistic: Any, *strata: Floats) -> tuple[float, float]:
    """The interval by scipy's own bootstrap."""
    found = scipy.stats.bootstrap(
        strata, statistic, n_resamples=RESAMPLES, vectorized=True, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return found.low, found.high


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
    return grid, trimmed(values, axis=0).tolist()
