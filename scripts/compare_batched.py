"""One program or many: do jobs learn the same under hydra/launcher=batched as alone, and what does it cost?

python scripts/compare_batched.py                      # 16 seeds of three tasks, on the CPU; half an hour
python scripts/compare_batched.py --seeds 64 --device cuda --tasks point_reach/ddpg

Each task is trained by both launchers, one after the other, into `--folder`; done jobs are not trained again.
Told are seconds of the whole command, and for each evaluation the mean success of both with the 95 % interval
of the difference of means (Welch). Rounding differs between the two, and learning makes much of it: single
runs part ways, their distribution must not.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path

import common
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TASKS = {
    "point_reach/ddpg": ["trainer.total_steps=6000"],
    "point_reach/sac": ["agent=sac", "trainer.total_steps=6000"],
    "bit_flip/dqn": ["env=bit_flip", "agent=dqn", "trainer.total_steps=6000"],
}
LAUNCHERS = ("batched", "local")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, default=Path("outputs/compare_batched"))
    return parser.parse_args()


def sweep(launcher: str, overrides: list[str], seeds: int, device: str, folder: Path) -> float:
    """Run a sweep; returns the seconds that its command took."""
    command = [
        sys.executable, "-m", "her_exp.train", "-m", f"hydra/launcher={launcher}", *overrides,
        f"seed=range({seeds})", f"device={device}", f"hydra.sweep.dir={folder}",
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return time.perf_counter() - start


def curves(folder: Path) -> tuple[list[int], Floats]:
    """Return env steps, and success (seeds, evaluations)."""
    runs = []
    for path in sorted(folder.glob("*/metrics.csv")):
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["tag"] == "eval/success_final"]
        # Lanes go on together: an evaluation may come a few steps late.
        runs.append({int(row["env_steps"]) // 1000 * 1000: float(row["value"]) for row in rows})
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    return steps, np.array([[run[step] for step in steps] for run in runs])


def difference(one: Floats, other: Floats) -> tuple[float, float, float]:
    """Return the difference of means and its 95 % interval."""
    gap = float(one.mean() - other.mean())
    width = 1.96 * float(np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)))
    return gap, gap - width, gap + width


def main() -> None:
    args = arguments()
    figures = {}
    for task in args.tasks:
        taken, found = {}, {}
        for launcher in LAUNCHERS:
            folder = args.folder / task.replace("/", "_") / launcher
            taken[launcher] = sweep(launcher, TASKS[task], args.seeds, args.device, folder)
            found[launcher] = curves(folder)
        steps = [step for step in found["batched"][0] if step in found["local"][0]]
        rows, outside = [], 0
        for step in steps:
            pair = [found[way][1][:, found[way][0].index(step)] for way in LAUNCHERS]
            gap, low, high = difference(*pair)
            outside += not low <= 0.0 <= high
            means = [f"{100 * each.mean():.1f}" for each in pair]
            rows.append([step, *means, f"{100 * gap:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"])
        print(
            f"\n{task}, {args.seeds} seeds: {taken['batched']:.0f} s batched, {taken['local']:.0f} s local"
        )
        print(common.table(["env steps", "batched %", "local %", "difference"], rows))
        figures[task] = {"seconds": taken, "evaluations": len(steps), "outside": outside}
    common.last_line(machine=common.machine(), seeds=args.seeds, device=args.device, **figures)


if __name__ == "__main__":
    main()
