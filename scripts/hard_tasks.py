"""The hard tasks of docs/hard_tasks.md: trains what is missing, and writes table, curves and a report of it.

    python scripts/hard_tasks.py --jobs 2              # all that is missing: days; stop it, and it goes on
    python scripts/hard_tasks.py fetch_push bit_flip_50
    python scripts/hard_tasks.py --tell                # of what is there, nothing is trained

What is kept of a run (its configuration, evaluations, result, and how its last policy did on goals that
training never saw) stands below docs/results/, and what stands there is not trained again. The runs
themselves, with checkpoints, are below --out. Needs '.[fast,report,bench]', and of some rows panda-gym or
highway-env. The last line is one JSON object of all figures.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grids
import numpy as np
from common import machine, train
from plot_curves import curve, plt

from her_exp.evaluate import evaluate_run
from her_exp.store.files import write_json
from her_exp.training import evaluation

NAME = "hard_tasks"
DOCS = grids.ROOT / "docs"
HELD_OUT = "held_out.json"


@dataclass
class Row:
    """A line of the table: an experiment, what was asked of it, and what is published of the task."""

    asked: str
    published: str
    seeds: range = range(3)
    words: list[str] = field(default_factory=list)
    trust: list[str] = field(default_factory=list)


ROWS = {
    "fetch_push": Row("95 %, each 92 %, 150,000 steps", "95 % at 280,000 to 300,000 (mrl)"),
    "fetch_slide": Row("70 %, 1,000,000 steps", "50 % at 220,000, 80 % at 1,100,000 (mrl)"),
    "fetch_pick_and_place": Row("95 %, each 92 %, 400,000 steps", "95 % at 630,000 (mrl)"),
    "point_maze_medium": Row("95 %, 500,000 steps", "figures only"),
    "point_maze_large": Row("90 %, 1,000,000 steps", "figures only"),
    "bit_flip_50": Row("99 %, 60,000 steps", "-", range(5)),
    "parking": Row("95 %, 36,000 steps", "80 % at 36,000 (Scilab-RL)", trust=["highway_env"]),
    "panda_push": Row(
        "95 %, 300,000 steps", "1,000,000 steps (zoo)", range(1), trust=["panda_gym"]
    ),
    "panda_pick_and_place": Row(
        "90 %, 600,000 steps", "1,000,000 steps (zoo)", range(1), trust=["panda_gym"]
    ),
    "hand_reach": Row("60 %, 1,500,000 steps", "figures only", range(1)),
    "ant_maze": Row("80 %, 1,500,000 steps", "-", range(1)),
}


def missing(name: str, kept: Path) -> list[int]:
    """Return the seeds of a row of which nothing is kept."""
    return [s for s in ROWS[name].seeds if not (kept / name / f"seed={s}" / HELD_OUT).exists()]


def measure(name: str, seed: int, out: Path, kept: Path, episodes: int) -> str | None:
    """Train a run, or go on with it, judge its last policy, keep what is small; returns what went wrong."""
    row, folder = ROWS[name], out / name / f"seed={seed}"
    try:
        train([f"experiment={name}", "threads=1", *row.words], seed, folder)
        summary = evaluate_run(folder, episodes, trust=row.trust)
    except (Exception, SystemExit) as error:  # the others go on
        return f"{name} seed={seed}: {str(error).strip().splitlines()[-1]}"
    keep(folder, kept / name / f"seed={seed}")
    write_json(kept / name / f"seed={seed}", HELD_OUT, summary | {"machine": machine()})
    return None


def keep(folder: Path, there: Path) -> None:
    """Copy what is small of a run folder; of its metrics all but the lines of single episodes and of time.

    Of the command that is kept its settings: in which folder it ran is nobody's concern.
    """
    there.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "result.json"):
        shutil.copy(folder / name, there / name)
    story = json.loads((folder / "run.json").read_text())
    words = ["python", "-m", "her_exp.train", *story.get("overrides", ())]
    write_json(there, "run.json", story | {"command": shlex.join(words)})
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    few = [line for line in lines if not line.split(",")[1].startswith(("rollout/", "time/"))]
    (there / "metrics.csv").write_text("".join(few))


def told(name: str, kept: Path) -> dict[str, Any] | None:
    """Return the figures of a row; None where no run of it is kept."""
    folders = [kept / name / f"seed={s}" for s in ROWS[name].seeds]
    folders = [folder for folder in folders if (folder / HELD_OUT).exists()]
    if not folders:
        return None
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    held_out = [json.loads((folder / HELD_OUT).read_text()) for folder in folders]
    rate, interval = evaluation.pooled(held_out)
    reached = [result["reached"].get(grids.LEVEL, {}).get("env_steps") for result in results]
    return {
        "seeds": len(folders),
        "success": [h["success_final"] for h in held_out],
        "pooled": rate,
        "interval": interval,
        "reached": reached,
        "env_steps": max(result["env_steps"] for result in results),
        "minutes": [result["train_seconds"] / 60 for result in results],
        "cpu": sorted({h["machine"]["cpu"] for h in held_out}),
        "curves": [curve(folder) for folder in folders],
    }


def table(figures: dict[str, dict[str, Any]]) -> list[list[Any]]:
    """Return the table, its head first."""
    rows: list[list[Any]] = [
        ["task", "seeds", "success (95 %)", "each seed, %", "95 % at env steps", "env steps",
         "minutes of training", "asked", "published"]
    ]  # fmt: skip
    for name, row in figures.items():
        low, high = row["interval"]
        asked = ROWS[name]
        seeds = str(row["seeds"])
        if row["seeds"] < len(asked.seeds):
            seeds += f" of {len(asked.seeds)} so far"
        rows.append([
            f"`experiment={name}`", seeds, f"{row['pooled']:.1%} ({low:.1%} to {high:.1%})",
            ", ".join(f"{100 * s:.3g}" for s in row["success"]),
            ", ".join("-" if n is None else f"{n:,}" for n in row["reached"]),
            f"{row['env_steps']:,}", ", ".join(f"{m:.0f}" for m in row["minutes"]),
            asked.asked, asked.published,
        ])  # fmt: skip
    return rows


def draw(figures: dict[str, dict[str, Any]]) -> Any:
    """Return the picture: of each task the seeds' success over env steps, and their mean."""
    wide = min(3, len(figures))
    high = -(-len(figures) // wide)
    figure = plt.figure(figsize=(3.2 * wide, 2.5 * high), layout="constrained")
    for axes, (name, row) in zip(
        figure.subplots(high, wide, squeeze=False).flat, figures.items(), strict=False
    ):
        grids.tidy(axes)
        for steps, success in row["curves"]:
            axes.plot([0, *steps], [0.0, *success], color=grids.BLUE, alpha=0.35, linewidth=1)
        grid = np.linspace(0, min(steps[-1] for steps, _ in row["curves"]), 200)
        each = [np.interp(grid, [0, *s], [0.0, *v]) for s, v in row["curves"]]
        axes.plot(grid, np.mean(each, axis=0), color=grids.BLUE, linewidth=2)
        axes.set(title=name, ylim=(-0.03, 1.03), xlabel="env steps")
        axes.ticklabel_format(axis="x", style="sci", scilimits=(3, 3), useMathText=True)
    for axes in figure.axes[len(figures) :]:
        axes.set_visible(False)
    return figure


def main() -> list[str]:
    """Train, judge, tell; returns what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(ROWS))
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a thread each")
    parser.add_argument("--episodes", type=int, default=200, help="held-out episodes a run")
    parser.add_argument("--out", type=Path, default=grids.ROOT / "outputs" / NAME)
    parser.add_argument("--docs", type=Path, default=DOCS, help="page and results")
    parser.add_argument("--tell", action="store_true", help="train nothing")
    args = parser.parse_args()
    if unknown := set(args.tasks) - set(ROWS):
        parser.error(f"no such task: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    if args.jobs < 1 or args.episodes < 1:
        parser.error("--jobs and --episodes: give 1 or more")
    names, kept = args.tasks or list(ROWS), args.docs / "results"
    faults: list[str] = []
    if not args.tell:
        todo = [(name, seed) for name in names for seed in missing(name, kept)]
        with ThreadPoolExecutor(args.jobs) as side_by_side:
            faults += filter(None, side_by_side.map(
                lambda run: measure(*run, args.out, kept, args.episodes), todo
            ))  # fmt: skip
    figures = {name: row for name in ROWS if (row := told(name, kept))}
    if figures:
        write(args.docs, args.out, figures)
        print(
            json.dumps(
                {n: {k: v for k, v in r.items() if k != "curves"} for n, r in figures.items()}
            )
        )
    lacking = {name: missing(name, kept) for name in names}
    return faults + [f"{name}: seeds {seeds}" for name, seeds in lacking.items() if seeds]


def write(docs: Path, out: Path, figures: dict[str, dict[str, Any]]) -> None:
    """Write table and picture into the page, and the report of what is kept below `out`."""
    rows = table(figures)
    head, *lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    cpus = sorted({cpu for row in figures.values() for cpu in row["cpu"]})
    text = "\n".join([
        f"CPU: {'; '.join(cpus)}; a thread a run.", "",
        head, "|---" * len(rows[0]) + "|", *lines, "",
        f"![Success over env steps of each task: every seed, and their mean]({NAME}.png)",
    ])  # fmt: skip
    grids.write_page(docs, NAME, text, rows, draw(figures), page=f"{NAME}.md")
    command = ["-m", "her_exp.report", f"runs={docs / 'results'}", f"out={out / 'report'}"]
    subprocess.run([sys.executable, *command], check=True)


if __name__ == "__main__":
    grids.run(main)
