"""Fig. 6 of Andrychowicz et al. 2017 (arXiv:1707.01495) in small: strategies and k on two cheap tasks.

    python scripts/reproduce_fig6.py --jobs 2                     # all; again: goes on, or only draws anew
    python scripts/reproduce_fig6.py --only bit_flip --seeds 10   # one task

Writes its part of docs/reproductions.md, and picture and table beside it. Needs matplotlib ('.[bench]'), and
'.[sweep]' for more than one job.
"""

from __future__ import annotations

import math
from typing import Any

import grids
import numpy as np
from finished import Run, bootstrap, each_text, steps_text, success_text
from grids import Grid, Sweep, plt

from her_exp.training import evaluation

NAME = "her_fig6"
#: Each task's experiment and how often it is evaluated.
TASKS = {
    "point_reach": ["trainer.eval_every=200"],
    "bit_flip": ["experiment=bit_flip", "trainer.eval_every=100"],
}
TITLES = {"point_reach": "point_reach", "bit_flip": "bit_flip, 15 bits"}
STRATEGIES = {
    "future": (grids.BLUE, "o-"), "final": (grids.ORANGE, "s-"),
    "episode": (grids.GREEN, "^-"), "random": (grids.PURPLE, "D-"),
}  # fmt: skip
K = [1, 2, 4, 8, 16]
NONE = "no hindsight"

Cells = dict[tuple[str, int], list[Run]]  # by strategy and k, of one task


def sweeps(tasks: list[str]) -> list[Sweep]:
    """Return the grid of each task, and its control."""
    made = []
    for task in tasks:
        overrides = [*TASKS[task], "trainer.picture=false"]
        axes = {"buffer.strategy": list(STRATEGIES), "buffer.k": K}
        made.append(Sweep(f"{NAME}_{task}", overrides, axes))
        made.append(Sweep(f"{NAME}_{task}_k0", overrides, {"buffer.k": [0]}))
    return made


def draw(tasks: dict[str, Cells]) -> Any:
    """Return the picture: above the final success, below the steps to 95 %, over k."""
    figure, grid = plt.subplots(
        2, len(tasks), figsize=(4.2 * len(tasks), 6.4), sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for column, (task, cells) in enumerate(tasks.items()):
        above, below = grids.tidy(grid[0, column]), grids.tidy(grid[1, column])
        budget = max(runs[0].budget for runs in cells.values())
        beyond = 1.1 * budget
        for number, (strategy, (color, style)) in enumerate(STRATEGIES.items()):
            x = [math.log2(k) + 0.07 * (number - 1.5) for s, k in cells if s == strategy]
            runs = [runs for (s, _), runs in cells.items() if s == strategy]
            if not runs:
                continue
            rates = [evaluation.pooled([r.held_out for r in each]) for each in runs]
            _bars(above, x, [(rate, *ends) for rate, ends in rates], color, style, strategy)
            steps = np.minimum([bootstrap([r.solved_at for r in each]) for each in runs], beyond)
            _bars(below, x, steps.tolist(), color, style, strategy)
        if control := cells.get((NONE, 0)):
            rate, _ = evaluation.pooled([run.held_out for run in control])
            above.axhline(rate, color=grids.GREY, linestyle="--", label=NONE)
        below.axhline(beyond, color=grids.GREY, linewidth=1, linestyle=":")
        below.annotate("not reached", (4, beyond), (0, 5), textcoords="offset points",
                       color=grids.GREY, ha="right")  # fmt: skip
        above.set(title=TITLES[task], ylim=(-0.03, 1.03))
        below.set(xlabel="k, relabelled steps for each one kept", ylim=(0, 1.22 * budget))
        below.set_xticks([math.log2(k) for k in K], K)
    grid[0, 0].set_ylabel("success after training")
    grid[1, 0].set_ylabel("env steps to 95 % success")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), ncols=5, frameon=False,
                  loc="outside lower center")  # fmt: skip
    return figure


def _bars(axes: Any, x: Any, points: Any, color: str, style: str, label: str) -> None:
    """Draw (middle, low, high) at each x."""
    middle, low, high = np.array(points).T
    axes.plot(x, middle, style, color=color, label=label, linewidth=1.8, markersize=5)
    axes.vlines(x, low, high, color=color, alpha=0.5, linewidth=2)


def tell(tasks: dict[str, Cells]) -> list[list[Any]]:
    """Return the table: its head, and a row a cell."""
    head = ["task", "strategy", "k", "success after training (95 %)", "each seed, %",
            "steps to 95 %: median (95 %; seeds)", "mean over training"]  # fmt: skip
    rows = [
        [TITLES[task], strategy, k, success_text(runs), each_text(runs), steps_text(runs),
         f"{np.mean([run.mean_success for run in runs]):.1%}"]
        for task, cells in tasks.items() for (strategy, k), runs in cells.items()
    ]  # fmt: skip
    return [head, *rows]


def main() -> list[str]:
    """Run, tell, draw; returns what is missing."""
    args = grids.arguments(__doc__ or "", list(TASKS), seeds=5)
    grid = Grid(sweeps(args.only), args)
    tasks: dict[str, Cells] = {}
    for (sweep, *values), runs in grid.run().items():
        task = sweep.removeprefix(f"{NAME}_").removesuffix("_k0")
        strategy, k = values if len(values) == 2 else (NONE, values[0])
        tasks.setdefault(task, {})[strategy, k] = runs
    about = grid.about(run for cells in tasks.values() for runs in cells.values() for run in runs)
    picture = f"![Final success and steps to 95 % over k, for each strategy]({NAME}.png)"
    grids.write_page(args.docs, NAME, f"{about}\n\n{picture}", tell(tasks), draw(tasks))
    return grid.missing


if __name__ == "__main__":
    grids.run(main)
