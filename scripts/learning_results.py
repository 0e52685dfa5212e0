"""The learning results of docs/results.md: trains, then judges the last policy on 200 held-out goals.

    python scripts/learning_results.py                       # every task, hours; robots need '.[fast]'
                                                             # (the hard ones: scripts/hard_tasks.py)
    python scripts/learning_results.py point_reach nav2d     # some
    python scripts/learning_results.py --out /tmp/results    # keep the run folders there

Each run is the real command in a process of its own, one after the other; one that is done in `--out` is
not trained again. The last line is one JSON object of all figures.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import train

from her_exp.evaluate import evaluate_run, held_out_seed
from her_exp.store.trust import load_run_config
from her_exp.training import evaluation


@dataclass
class Task:
    """A command, its seeds and the level whose first evaluation is told."""

    overrides: list[str]
    seeds: range
    level: str = "0.95"
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


BOX_AGENTS = ("td3", "sac", "tqc")
TASKS = {
    "point_reach": Task([], range(5), "0.99"),
    "point_reach_k0": Task(["buffer.k=0"], range(2), note="control"),
    # conf/agent/ddpg.yaml: what normalises the layers
    **{
        f"point_reach_{name}": Task(["trainer.eval_every=250", *words], range(5), "0.99")
        for name, words in {
            "layer_norm": [],
            "no_norm": ["agent.layer_norm=false"],
            "rms_norm": ["agent.network={_target_: normed.RMSNormed, hidden_sizes: [64,64]}"],
        }.items()
    },
    "nav2d": Task(["experiment=nav2d"], range(5), "0.99"),
    "bit_flip_15": Task(["experiment=bit_flip"], range(3)),
    "bit_flip_15_k0": Task(
        ["experiment=bit_flip", "buffer.k=0", "trainer.total_steps=30000"],
        range(3),
        note="control, ten times the steps",
    ),
    "bit_flip_30": Task(["experiment=bit_flip_30"], range(3)),
    "bit_flip_continuous_8": Task(["experiment=bit_flip_continuous"], range(3)),
    # One thread each, so that two runs can share two cores; left alone the presets take both.
    "fetch_reach": Task(["experiment=fetch_reach"], range(5), "0.99"),
    "fetch_push_k0": Task(
        ["experiment=fetch_push", "threads=1", "buffer.k=0"], range(1), note="control"
    ),
    "point_maze": Task(["experiment=point_maze", "threads=1"], range(3)),
    # docs/agents.md
    **{
        f"crl_{task}": Task([f"experiment=crl/{task}", "threads=1"], range(3))
        for task in ("point_reach", "point_maze")
    },
    **{f"point_reach_{agent}": Task([f"agent={agent}"], range(3)) for agent in BOX_AGENTS},
    **{
        f"bit_flip_continuous_{agent}": Task(
            ["experiment=bit_flip_continuous", f"agent={agent}"], range(3)
        )
        for agent in BOX_AGENTS
    },
    "bit_flip_qrdqn": Task(["experiment=bit_flip", "agent=qrdqn"], range(3)),
    "bit_flip_dueling": Task(["experiment=bit_flip", "agent.dueling=true"], range(3)),
    "point_reach_sac_fixed": Task(["agent=sac", "agent.entropy=0.05"], range(3)),
}


def nav2d_optimum(folder: Path, episodes: int) -> float:
    """Mean best return of the held-out goals: misses on the straight way, by geometry."""
    from her_exp.training.build import make

    cfg = load_run_config(folder)
    env = make(cfg.env).make(min(cfg.env.num_eval_envs, episodes))
    seed = held_out_seed(cfg, 0)
    due = evaluation.shares(episodes, env.num_envs)
    returns = []
    observation, _ = env.reset(seed=seed)
    goals = [[g] for g in observation["desired_goal"]]
    # Later goals of a lane do not depend on what it does: let time run out and look.
    while any(len(g) < n for g, n in zip(goals, due, strict=True)):
        for _ in range(cfg.env.max_steps + 1):
            observation, *_ = env.step(np.zeros((env.num_envs, 2), np.float32))
        for lane, goal in enumerate(observation["desired_goal"]):
            goals[lane].append(goal)
    env.close()
    for lane, n in enumerate(due):
        for goal in goals[lane][:n]:
            steps = 1
            while math.hypot(*np.maximum(goal - steps, 0.0)) > cfg.env.distance_threshold:
                steps += 1
            returns.append(1 - steps)
    return float(np.mean(returns))


def main() -> None:
    """Run the tasks that were asked for and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--out", type=Path, help="keep the run folders here")
    parser.add_argument("--episodes", type=int, default=200)
    args = parser.parse_args()
    unknown = set(args.tasks) - set(TASKS)
    if unknown:
        parser.error(f"no such task: {', '.join(unknown)}; there are {', '.join(TASKS)}")
    out = args.out or Path(tempfile.mkdtemp(prefix="her_exp_results_"))
    figures: dict[str, Any] = {"machine": platform.platform()}
    print("| task | success, last step (pooled, 95 % interval) | each seed | return "
          "| reached (env steps; train s) | run: env steps, episodes, train s |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for name in args.tasks or TASKS:
        figures[name] = row = run_task(name, TASKS[name], out, args.episodes)
        rate, (low, high) = row["pooled"], row["interval"]
        each = ", ".join(f"{s:.1%}" for s in row["success"])
        reached = ", ".join(f"{n} ({t:.1f})" for n, t in row["reached"]) or "-"
        optimum = f" (optimum {row['optimum']:.3f})" if "optimum" in row else ""
        print(
            f"| {name} | {rate:.1%} ({low:.1%} to {high:.1%}) | {each} "
            f"| {np.mean(row['return']):.3f}{optimum} | {row['level']}: {reached} "
            f"| {row['env_steps'][0]}, {median(row['episodes']):.0f}, "
            f"{median(row['train_seconds']):.1f} |",
            flush=True,
        )
    print(json.dumps(figures))


def run_task(name: str, task: Task, out: Path, episodes: int) -> dict[str, Any]:
    """Train and judge every seed of a task."""
    results, summaries, optima = [], [], []
    for seed in task.seeds:
        folder = out / name / f"seed={seed}"
        results.append(train(task.overrides, seed, folder))
        summaries.append(evaluate_run(folder, episodes, trust=["normed"]))
        if name == "nav2d":
            optima.append(nav2d_optimum(folder, episodes))
    pooled, interval = evaluation.pooled(summaries)
    reached = [r["reached"].get(task.level) for r in results]
    row = {
        "overrides": task.overrides,
        "seeds": list(task.seeds),
        "level": task.level,
        "pooled": pooled,
        "interval": interval,
        "success": [s["success_final"] for s in summaries],
        "return": [s["return"] for s in summaries],
        "reached": [(r["env_steps"], r["train_seconds"]) for r in reached if r],
        "env_steps": [r["env_steps"] for r in results],
        "episodes": [r["episodes"] for r in results],
        "train_seconds": [r["train_seconds"] for r in results],
        "wall_seconds": [r["wall_seconds"] for r in results],
    }
    if optima:
        row["optimum"] = float(np.mean(optima))
        row["above_optimum"] = [o - s["return"] for o, s in zip(optima, summaries, strict=True)]
    return row


if __name__ == "__main__":
    main()
