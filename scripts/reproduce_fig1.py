"""Fig. 1 of Andrychowicz et al. 2017 (arXiv:1707.01495): bit flipping, DQN with and without hindsight.

    python scripts/reproduce_fig1.py --jobs 2             # all; again: goes on, or only draws anew
    python scripts/reproduce_fig1.py --only 5 8 10        # some numbers of bits

Writes its part of docs/reproductions.md, and picture and table beside it. Needs matplotlib ('.[bench]'), and
'.[sweep]' for more than one job.
"""

from __future__ import annotations

from typing import Any

import grids
from finished import LEVEL, Run, each_text, steps_text, success_text
from grids import Grid, Sweep, plt

from her_exp.training import evaluation

NAME = "her_fig1"
BITS = [5, 8, 10, 13, 15, 20, 30, 40, 50]
#: name, experiment, bits, env steps: of the numbers of bits that share an experiment and a budget.
BUDGETS = [
    ("her_fig1", "bit_flip", [5, 8, 10, 13, 15, 20], 10_000),
    ("her_fig1_30", "bit_flip_30", [30], 15_000),
    ("her_fig1_40", "bit_flip_50", [40], 50_000),
    ("her_fig1_50", "bit_flip_50", [50], 100_000),
]
#: What experiment=bit_flip_50 said when these runs were made; it needs fewer steps since.
THEN = {"bit_flip_50": ["agent.gamma=0.98", "trainer.updates_per_step=0.75"]}
KINDS = {4: ("DQN + HER", grids.BLUE, "o-"), 0: ("DQN", grids.RED, "s--")}

Cells = dict[tuple[int, int], list[Run]]  # by bits and k


def sweeps(bits: list[int]) -> list[Sweep]:
    """Return the sweeps of these numbers of bits; without hindsight every one has the same steps."""
    return [
        Sweep(
            name,
            [f"experiment={experiment}", f"trainer.total_steps={steps}",
             f"trainer.eval_every={steps // 10}", "trainer.picture=false",
             *THEN.get(experiment, [])],
            {"env.n_bits": chosen, "buffer.k": list(KINDS)},
        )
        for name, experiment, shared, steps in BUDGETS
        if (chosen := [n for n in shared if n in bits])
    ]  # fmt: skip


def draw(cells: Cells) -> Any:
    """Return the picture: success over bits, the pooled rate and each seed."""
    axes = grids.tidy(plt.figure(figsize=(7.2, 4.2), layout="constrained").subplots())
    for k, (label, color, style) in KINDS.items():
        if not (bits := [n for n, other in cells if other == k]):
            continue
        pooled = [evaluation.pooled([r.held_out for r in cells[n, k]]) for n in bits]
        rate = [p[0] for p in pooled]
        axes.plot(bits, rate, style, color=color, linewidth=2, label=label)
        axes.fill_between(bits, *zip(*(p[1] for p in pooled), strict=True), color=color, alpha=0.15)
        for n in bits:
            each = [run.held_out["success_final"] for run in cells[n, k]]
            axes.plot([n] * len(each), each, ".", color=color, alpha=0.4, markersize=5)
        where = (bits[-1], rate[-1])
        axes.annotate(label, where, (0, -8 if k else 8), textcoords="offset points", color=color,
                      ha="right", va="top" if k else "bottom", weight="bold")  # fmt: skip
    axes.set(xlabel="number of bits", ylabel="success at the last step", ylim=(-0.03, 1.03))
    axes.set(xlim=(0, 52), xticks=[5, 10, 15, 20, 30, 40, 50])
    return axes.figure


def tell(cells: Cells) -> tuple[list[list[Any]], str]:
    """Return the table, its head first, and up to how many bits each kind solves the task."""
    rows, solved = [], dict.fromkeys(KINDS, 0)
    for (n, k), runs in cells.items():
        rate, _ = evaluation.pooled([run.held_out for run in runs])
        solved[k] = max(solved[k], n if rate >= float(LEVEL) else 0)
        rows.append([n, KINDS[k][0], f"{runs[0].budget:,}",
                     success_text(runs), each_text(runs), steps_text(runs)])  # fmt: skip
    head = ["bits", "agent", "env steps", "success (95 %)", "each seed, %",
            "steps to 95 %: median (95 %; seeds)"]  # fmt: skip
    most = ", ".join(f"{KINDS[k][0]} {n or 'none'}" for k, n in solved.items())
    return [head, *rows], f"Most bits with 95 % success: {most}."


def main() -> list[str]:
    """Run, tell, draw; returns what is missing."""
    args = grids.arguments(__doc__ or "", [str(n) for n in BITS], seeds=5)
    grid = Grid(sweeps([int(n) for n in args.only]), args)
    cells = {(n, k): runs for (_, n, k), runs in grid.run().items()}
    picture = f"![Success over the number of bits, with and without hindsight]({NAME}.png)"
    about = grid.about(run for runs in cells.values() for run in runs)
    rows, most = tell(cells)
    grids.write_page(args.docs, NAME, f"{about}\n\n{picture}\n\n{most}", rows, draw(cells))
    return grid.missing


if __name__ == "__main__":
    grids.run(main)
