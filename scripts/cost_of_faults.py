"""What the field's faults in hindsight cost: each one alone, switched on in a test double of our buffer.

    python scripts/cost_of_faults.py --jobs 2          # all; again: goes on, or only draws anew
    python scripts/cost_of_faults.py --only nav2d      # one task

The doubles are in `faulty.py`; `tests/scripts/test_reproduction_doubles.py` proves that each has its fault
and no other. Writes its part of docs/reproductions.md, and picture and table beside it. Needs matplotlib
('.[bench]'), and '.[sweep]' for more than one job.
"""

from __future__ import annotations

from typing import Any

import grids
import numpy as np
import plot_curves
from finished import Run, each_text, steps_text, success_text
from grids import Grid, Sweep, plt

NAME = "her_faults"
OURS = "her_exp.buffers.hindsight.HindsightReplayBuffer"
#: class of the buffer: name, colour, line
FAULTS = {
    OURS: ("correct", grids.BLACK, "-"),
    "faulty.StaleTerminated": ("stale terminated", grids.RED, "-"),
    "faulty.GoalsFromStateBefore": ("goals from the state before", grids.BLUE, "--"),
    "faulty.TimeLimitTerminal": ("time limit as terminal", grids.ORANGE, "-."),
    "faulty.StoredGoalsOverwritten": ("stored goals overwritten", grids.GREEN, ":"),
}
#: Twice the presets' steps, so that slower and never can be told apart.
TASKS = {
    "nav2d": ["experiment=nav2d", "trainer.total_steps=2400", "trainer.eval_every=50"],
    "bit_flip": ["experiment=bit_flip", "trainer.total_steps=6000", "trainer.eval_every=100"],
    "point_reach": ["trainer.total_steps=12000", "trainer.eval_every=200"],
}
#: No goal ends an episode of point_reach: there this fault changes no number (tested).
IDLE = {"point_reach": {"faulty.StaleTerminated"}}

Cells = dict[str, list[Run]]  # by class, of one task


def sweeps(tasks: list[str]) -> list[Sweep]:
    """Return each task with each fault that can show there."""
    return [
        Sweep(
            f"{NAME}_{task}",
            [*TASKS[task], "trainer.picture=false"],
            {"buffer._target_": [f for f in FAULTS if f not in IDLE.get(task, ())]},
        )
        for task in tasks
    ]


def draw(tasks: dict[str, Cells]) -> Any:
    """Return the picture: success over env steps, the mean of the seeds, a panel a task."""
    figure, grid = plt.subplots(
        1, len(tasks), figsize=(1 + 2.6 * len(tasks), 3.8), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    handles = {}
    for axes, (task, cells) in zip(grid[0], tasks.items(), strict=True):
        for fault, runs in cells.items():
            label, color, line = FAULTS[fault]
            curve = plot_curves.mean([(run.steps, run.success) for run in runs])
            (handles[label],) = axes.plot(*curve, line, color=color, linewidth=2)
        grids.tidy(axes).set(title=task, xlabel="env steps", ylim=(-0.03, 1.03))
        axes.locator_params("x", nbins=4)
    grid[0, 0].set_ylabel("success, mean of the seeds")
    figure.legend(handles.values(), handles, ncols=3, frameon=False, loc="outside lower center")
    return figure


def against(runs: list[Run], correct: list[Run]) -> str:
    """Tell how much of the mean success over training is lost, seed by seed, with its interval."""
    if runs is correct or not correct or len(runs) != len(correct):
        return "-"
    lost = [a.mean_success - b.mean_success for a, b in zip(runs, correct, strict=True)]
    drawn = np.random.default_rng(0).choice(lost, (10_000, len(lost))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{100 * np.mean(lost):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def tell(tasks: dict[str, Cells]) -> list[list[Any]]:
    """Return the table: its head, and a row a cell."""
    rows = [
        [task, FAULTS[fault][0], success_text(runs), each_text(runs), steps_text(runs),
         f"{np.mean([run.mean_success for run in runs]):.1%}", against(runs, cells.get(OURS, []))]
        for task, cells in tasks.items() for fault, runs in cells.items()
    ]  # fmt: skip
    head = ["task", "buffer", "success after training (95 %)", "each seed, %",
            "steps to 95 %: median (95 %; seeds)", "mean over training",
            "against correct, points (95 %)"]  # fmt: skip
    return [head, *rows]


def main() -> list[str]:
    """Run, tell, draw; returns what is missing."""
    args = grids.arguments(__doc__ or "", list(TASKS), seeds=10)
    grid = Grid(sweeps(args.only), args, trust=["faulty"])
    tasks: dict[str, Cells] = {}
    for (sweep, fault), runs in grid.run().items():
        tasks.setdefault(sweep.removeprefix(f"{NAME}_"), {})[fault] = runs
    about = grid.about(run for cells in tasks.values() for runs in cells.values() for run in runs)
    picture = f"![Success over env steps of the correct buffer and of each fault]({NAME}.png)"
    grids.write_page(args.docs, NAME, f"{about}\n\n{picture}", tell(tasks), draw(tasks))
    return grid.missing


if __name__ == "__main__":
    grids.run(main)
