"""Success over env steps of several runs in one picture: mean of the seeds, and each seed faintly.

    python scripts/plot_curves.py out.png "with HER=outputs/a/seed=*" "k=0=outputs/b/seed=*"

A group is a label and a glob of run folders, split at the last `=` before the first path separator.
Needs matplotlib: pip install -e '.[bench]'.
"""

from __future__ import annotations

import argparse
import csv
import glob
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

TAG = "eval/success_final"


def curve(folder: Path) -> tuple[list[int], list[float]]:
    """Return env steps and success of a run's evaluations."""
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["tag"] == TAG]
    return [int(row["env_steps"]) for row in rows], [float(row["value"]) for row in rows]


def mean(curves: Sequence[tuple[list[int], list[float]]]) -> tuple[Any, Any]:
    """Return env steps and the mean of the seeds' success there.

    Evaluations of the seeds fall a few steps apart: the mean is taken on a common grid.
    """
    grid = np.linspace(0, min(steps[-1] for steps, _ in curves), 200)
    each = [np.interp(grid, [0, *steps], [0.0, *success]) for steps, success in curves]
    return grid, np.mean(each, axis=0)


def draw(
    axes: Any, curves: Sequence[tuple[list[int], list[float]]], color: str, label: str | None = None
) -> None:
    """Draw each seed's success over env steps faintly, and their mean."""
    for steps, success in curves:
        axes.plot([0, *steps], [0.0, *success], color=color, alpha=0.3, linewidth=1)
    axes.plot(*mean(curves), color=color, linewidth=2, label=label)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("groups", nargs="+", metavar="LABEL=GLOB")
    parser.add_argument("--title", default="")
    args = parser.parse_args()
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    figures = {}
    for number, group in enumerate(args.groups):
        head = group.partition("/")[0]
        label, pattern = head.rpartition("=")[0], group[len(head.rpartition("=")[0]) + 1 :]
        folders = [Path(p) for p in sorted(glob.glob(pattern)) if Path(p, "metrics.csv").exists()]
        if not folders:
            parser.error(f"{pattern}: no run folder")
        curves = [curve(folder) for folder in folders]
        draw(axes, curves, f"C{number}", f"{label} (n={len(curves)})")
        figures[label] = {"seeds": len(curves), "final": [values[-1] for _, values in curves]}
    axes.set(
        xlabel="env steps", ylabel="success at the last step", ylim=(-0.03, 1.03), title=args.title
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(args.out, dpi=110)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
