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
import math
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grids
import plot_curves
from common import last_line, machine, train
from finished import HELD_OUT, Run, each_text, success_text
from grids import plt

from her_exp.evaluate import evaluate_run
from her_exp.store.files import write_json

NAME = "hard_tasks"
DOCS = grids.ROOT / "docs"


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
    for part in (story, *story.get("resumes", ())):
        part["command"] = shlex.join(["python", "-m", "her_exp.train", *part.get("overrides", ())])
    write_json(there, "run.json", story)
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    few = [line for line in lines if not line.split(",")[1].startswith(("rollout/", "time/"))]
    (there / "metrics.csv").write_text("".join(few))


def told(name: str, kept: Path) -> list[Run]:
    """Return the runs of a row that are kept."""
    folders = [kept / name / f"seed={seed}" for seed in ROWS[name].seeds]
    return [Run.read(folder) for folder in folders if (folder / HELD_OUT).exists()]


def table(figures: dict[str, list[Run]]) -> list[list[Any]]:
    """Return the table, its head first."""
    rows: list[list[Any]] = [
        ["task", "seeds", "success (95 %)", "each seed, %", "95 % at env steps", "env steps",
         "minutes of training", "asked", "published"]
    ]  # fmt: skip
    for name, runs in figures.items():
        asked = ROWS[name]
        so_far = f" of {len(asked.seeds)} so far" if len(runs) < len(asked.seeds) else ""
        rows.append([
            f"`experiment={name}`", f"{len(runs)}{so_far}", success_text(runs), each_text(runs),
            ", ".join(f"{r.solved_at:,.0f}" if math.isfinite(r.solved_at) else "-" for r in runs),
            f"{max(run.result['env_steps'] for run in runs):,}",
            ", ".join(f"{run.result['train_seconds'] / 60:.0f}" for run in runs),
            asked.asked, asked.published,
        ])  # fmt: skip
    return rows


def draw(figures: dict[str, list[Run]]) -> Any:
    """Return the picture: of each task the seeds' success over env steps, and their mean."""
    wide = min(3, len(figures))
    high = -(-len(figures) // wide)
    figure = plt.figure(figsize=(3.2 * wide, 2.5 * high), layout="constrained")
    every = figure.subplots(high, wide, squeeze=False).flat
    for axes, (name, runs) in zip(every, figures.items(), strict=False):
        grids.tidy(axes)
        plot_curves.draw(axes, [(run.steps, run.success) for run in runs], grids.BLUE)
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
    figures = {name: runs for name in ROWS if (runs := told(name, kept))}
    if figures:
        write(args.docs, args.out, figures)
        last_line(**{
            name: [{"result": run.result, "held_out": run.held_out} for run in runs]
            for name, runs in figures.items()
        })  # fmt: skip
    lacking = {name: missing(name, kept) for name in names}
    return faults + [f"{name}: seeds {seeds}" for name, seeds in lacking.items() if seeds]


def write(docs: Path, out: Path, figures: dict[str, list[Run]]) -> None:
    """Write table and picture into the page, and the report of what is kept below `out`."""
    rows = table(figures)
    cpus = sorted({run.held_out["machine"]["cpu"] for runs in figures.values() for run in runs})
    text = "\n".join([
        f"CPU: {'; '.join(cpus)}; a thread a run.", "",
        grids.lines(rows), "",
        f"![Success over env steps of each task: every seed, and their mean]({NAME}.png)",
    ])  # fmt: skip
    grids.write_page(docs, NAME, text, rows, draw(figures), page=f"{NAME}.md")
    command = ["-m", "her_exp.report", f"runs={docs / 'results'}", f"out={out / 'report'}"]
    subprocess.run([sys.executable, *command], check=True)


if __name__ == "__main__":
    grids.run(main)
