"""FetchPickAndPlace from 100 demonstrations, beside its controls: a part of docs/data.md.

    python scripts/demonstrations.py --jobs 2            # all; stopped, it goes on; done, it only draws anew
    python scripts/demonstrations.py --only none --seeds 1

The demonstrations are episodes of a policy of experiment=fetch_pick_and_place, on starts and goals that no
training has; it is trained first where scripts/hard_tasks.py has not (half an hour). Needs
'.[fast,data,bench]', and '.[sweep]' for more than one job.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grids
import plot_curves
from common import train
from finished import Run, each_text, steps_text, success_text
from grids import Grid, Sweep, plt

from her_exp.evaluate import evaluate_run
from her_exp.store.files import write_json
from her_exp.training import evaluation

NAME = "demonstrations"
TASK = "experiment=fetch_pick_and_place"
TEACHER = "outputs/hard_tasks/fetch_pick_and_place/seed=0"
SET = f"outputs/{NAME}/set"
#: Env steps of a run; of cloning alone as many updates as the others take.
STEPS, UPDATES = 50_000, 37_500
ONLINE = [TASK, f"trainer.total_steps={STEPS}", "trainer.eval_every=5000"]
GIVEN = f"buffer.demonstrations={SET}"
CLONING = [*ONLINE, GIVEN, "agent.cloning_weight=10"]
ALONE = [
    "env=fetch_pick_and_place", "agent=gcbc", "agent.hidden_sizes=[256,256,256]",
    "agent.actor_lr=1e-3", "buffer.k=inf", GIVEN, "trainer.batch_size=256",
    "trainer.total_steps=0", f"trainer.offline_updates={UPDATES}", "trainer.eval_episodes=100",
]  # fmt: skip
#: Of each arm what it is, its words, and its colour.
ARMS: dict[str, tuple[str, list[str], str]] = {
    "filtered": ("cloning with the Q-filter", CLONING, grids.BLUE),
    "unfiltered": ("cloning without it", [*CLONING, "agent.q_filter=false"], grids.ORANGE),
    "share": ("half of each batch, no cloning", [*ONLINE, GIVEN], grids.GREEN),
    "none": ("no demonstrations", ONLINE, grids.RED),
    "cloning": ("cloning alone, no env step", ALONE, grids.GREY),
}

Arms = dict[str, list[Run]]


def demonstrate(out: Path) -> str:
    """Make the set where there is none; returns how its episodes went, in words."""
    told = out / f"{SET}.json"
    if not told.exists():
        train([TASK, "threads=1"], 0, out / TEACHER)
        summary = evaluate_run(out / TEACHER, 100, seed=1, dataset=str(out / SET))
        write_json(told.parent, told.name, summary)
    rate = json.loads(told.read_text())["success_final"]
    return f"Of the 100 demonstrated episodes {rate:.0%} end in success."


def sweeps(arms: list[str]) -> list[Sweep]:
    """Return the sweep of each arm."""
    always = ["threads=1", "trainer.picture=false"]
    return [Sweep(f"{NAME}_{arm}", [*ARMS[arm][1], *always], {}) for arm in arms]


def draw(arms: Arms) -> Any:
    """Return the picture: success over env steps, the mean of the seeds and each of them."""
    axes = grids.tidy(plt.figure(figsize=(7.2, 4.2), layout="constrained").subplots())
    for arm, runs in arms.items():
        label, _, color = ARMS[arm]
        if runs[0].budget:
            plot_curves.draw(axes, [(run.steps, run.success) for run in runs], color, label)
        else:
            rate, _ = evaluation.pooled([run.held_out for run in runs])
            axes.axhline(rate, color=color, linestyle="--", linewidth=2, label=label)
    axes.set(xlabel="env steps", ylabel="success at the last step", ylim=(-0.03, 1.03))
    axes.legend(frameon=False)
    return axes.figure


def tell(arms: Arms) -> list[list[Any]]:
    """Return the table: its head, and a row an arm."""
    head = ["from 100 demonstrations", "by", "env steps", "success (95 %)", "each seed, %",
            "steps to 95 %: median (95 %; seeds)"]  # fmt: skip
    rows: list[list[Any]] = [head]
    for arm, runs in arms.items():
        label, words, _ = ARMS[arm]
        own = " ".join(word for word in words if word not in ONLINE)
        rows.append([
            label, f"`{own}`" if own else "", f"{runs[0].budget:,}", success_text(runs), each_text(runs),
            steps_text(runs) if runs[0].budget else "-",
        ])  # fmt: skip
    return rows


def main() -> list[str]:
    """Demonstrate, run, tell, draw; returns what is missing."""
    args = grids.arguments(__doc__ or "", list(ARMS), seeds=3)
    shown = demonstrate(args.out)
    grid = Grid(sweeps(args.only), args)
    arms = {sweep.removeprefix(f"{NAME}_"): runs for (sweep,), runs in grid.run().items()}
    rows = tell(arms)
    text = "\n\n".join([
        shown, grid.about((run for runs in arms.values() for run in runs), commands=False),
        grids.lines(rows),
        f"![Success over env steps, with demonstrations and without]({NAME}.png)",
    ])  # fmt: skip
    grids.write_page(args.docs, NAME, text, rows, draw(arms), page="data.md")
    return grid.missing


if __name__ == "__main__":
    grids.run(main)
