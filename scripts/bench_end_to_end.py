"""Whole runs beside stable-baselines3's, in turn: time to 95 % on FetchReach, speed on FetchPush.

python scripts/bench_end_to_end.py                   # needs the extras robotics (or fast) and bench
python scripts/bench_end_to_end.py --tasks reach --agents sac --seeds 0 1 2

The same agent, network, batch size, updates for each env step, learning rates, gamma, tau, k and
exploration noise, one thread each, in processes of their own: ours, theirs, ours, ... Seconds are those
of training: start-up and evaluation are left out on both sides. FetchReach is judged every 500 steps on
100 goals, success at the last step; the first evaluation at 95 % counts. What stays different: ours
normalises its inputs and, where EnvPool is installed, steps the env there; theirs steps 8 envs in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common

LANES, EVERY, EPISODES = 8, 500, 100
TASKS: dict[str, dict[str, Any]] = {
    "reach": {
        "id": "FetchReach-v4", "env": "fetch_reach", "steps": 6000, "net": [64, 64, 64], "batch": 256,
        "updates": 6, "lr": 1e-3, "starts": 504,
    },
    "push": {
        "id": "FetchPush-v4", "env": "fetch_push", "steps": 50_000, "net": [256, 256, 256], "batch": 256,
        "updates": 2, "lr": 1e-3, "starts": 2000,
    },
}  # fmt: skip
"""`updates`: for each step of all 8 lanes."""


def ours(task: str, agent: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train with `her_exp.train`; returns its figures."""
    it = TASKS[task]
    evaluate = EVERY if task == "reach" else it["steps"]
    words = {
        "env": it["env"], "env.num_envs": LANES, "agent": agent, "threads": 1, "buffer.capacity": 1_000_000,
        "agent.hidden_sizes": it["net"], "agent.layer_norm": False, "agent.actor_lr": it["lr"],
        "agent.critic_lr": it["lr"], "agent.tau": 0.05, "agent.target_every": 1,
        "agent.random_steps": it["starts"], "agent.random_action": 0.0,
        "trainer.learning_starts": it["starts"], "trainer.batch_size": it["batch"],
        "trainer.updates_per_step": it["updates"] / LANES, "trainer.learn_every": LANES,
        "trainer.total_steps": it["steps"], "trainer.eval_every": evaluate,
        "trainer.eval_episodes": EPISODES if task == "reach" else 1, "trainer.picture": False,
        "trainer.checkpoint_every": None, "trainer.log_every": 1000,
    }  # fmt: skip
    if agent == "ddpg":
        words["agent.noise_std"] = 0.2
    if task == "reach":
        words["trainer.stop_at"] = 0.95
    said = [f"{k}={'null' if v is None else v}".replace(" ", "") for k, v in words.items()]
    result = common.train(said, seed, folder)
    reached = result["reached"].get("0.95")
    return {
        "steps": result["env_steps"], "updates": result["updates"], "seconds": result["train_seconds"],
        "reached": reached and [reached["env_steps"], reached["train_seconds"]],
    }  # fmt: skip


def peers(task: str, agent: str, seed: int) -> dict[str, Any]:
    """Train with stable-baselines3 in this process; returns its figures."""
    import gymnasium as gym
    import gymnasium_robotics
    import numpy as np
    import torch
    from stable_baselines3 import DDPG, SAC, HerReplayBuffer
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise

    torch.set_num_threads(1)
    gym.register_envs(gymnasium_robotics)
    it = TASKS[task]
    env = make_vec_env(it["id"], n_envs=LANES, seed=seed)
    judge = make_vec_env(it["id"], n_envs=LANES, seed=seed + 10_000)
    width = env.action_space.shape[0]
    noise = NormalActionNoise(np.zeros(width), np.full(width, 0.2))
    model = {"ddpg": DDPG, "sac": SAC}[agent](
        "MultiInputPolicy", env, learning_rate=it["lr"], buffer_size=1_000_000,
        learning_starts=it["starts"], batch_size=it["batch"], tau=0.05, gamma=0.98,
        train_freq=1, gradient_steps=it["updates"], seed=seed,
        action_noise=VectorizedActionNoise(noise, LANES) if agent == "ddpg" else None,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
        policy_kwargs={"net_arch": it["net"], "n_critics": 1 if agent == "ddpg" else 2},
    )  # fmt: skip

    class Judge(BaseCallback):
        """Evaluates every `EVERY` steps, off the clock, and ends the run at 95 %."""

        def __init__(self) -> None:
            super().__init__()
            self.start, self.away, self.next = time.perf_counter(), 0.0, EVERY
            self.reached: list[float] | None = None

        def _on_step(self) -> bool:
            if task != "reach" or self.num_timesteps < self.next:
                return True
            self.next += EVERY
            began = time.perf_counter()
            success = self.evaluate()
            self.away += time.perf_counter() - began
            if success >= 0.95:
                self.reached = [self.num_timesteps, self.seconds()]
            return self.reached is None

        def seconds(self) -> float:
            return time.perf_counter() - self.start - self.away

        def evaluate(self) -> float:
            wins, due = [], EPISODES
            observation = judge.reset()
            while len(wins) < due:
                action, _ = model.predict(observation, deterministic=True)
                observation, _, done, infos = judge.step(action)
                wins += [i["is_success"] for i, over in zip(infos, done, strict=True) if over]
            return float(np.mean(wins))  # episodes are all of 50 steps: none is favoured

    callback = Judge()
    model.learn(it["steps"], callback=callback)
    return {
        "steps": model.num_timesteps, "updates": model._n_updates, "seconds": callback.seconds(),
        "reached": callback.reached,
    }  # fmt: skip


def apart(task: str, agent: str, seed: int) -> dict[str, Any]:
    """Run `peers` in a process of its own."""
    words = [sys.executable, __file__, "--worker", task, agent, str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def tell(task: str, agent: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Print the table of one task and agent; returns its figures."""
    rows, figures = [], {}
    for who, these in runs.items():
        rates = {
            "env steps/s": common.spread(r["steps"] / r["seconds"] for r in these),
            "updates/s": common.spread(r["updates"] / r["seconds"] for r in these),
        }
        met = [r["reached"] for r in these]
        cells = [str(spread) for spread in rates.values()]
        figures[who] = {name: spread.figures() for name, spread in rates.items()} | {"reached": met}
        if task == "reach":
            cells += [", ".join(f"{m[0]:,} / {m[1]:.1f}" if m else "-" for m in met)]
        rows.append([who, *cells])
    head = ["", "env steps/s", "updates/s"]
    head += ["95 % at (env steps / s, each seed)"] if task == "reach" else []
    print(f"\n{TASKS[task]['id']}, {agent}, {len(runs['her_exp'])} seeds\n")
    print(common.table(head, rows), flush=True)
    ways = [
        [r["seconds"] / r["steps"] for r in runs[who]] for who in ("stable-baselines3", "her_exp")
    ]
    figures["faster"] = common.ratio(*ways).figures()
    print(f"\nenv steps/s, ours over theirs: {common.ratio(*ways)}", flush=True)
    return figures


def main() -> None:
    """Run the pairs that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--agents", nargs="+", choices=["ddpg", "sac"], default=["ddpg", "sac"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if args.worker:
        task, agent, seed = args.worker
        print(json.dumps(peers(task, agent, int(seed))))
        return
    figures: dict[str, Any] = {"machine": common.machine()}
    for task in args.tasks:
        for agent in args.agents:
            runs: dict[str, list[dict[str, Any]]] = {"her_exp": [], "stable-baselines3": []}
            for seed in args.seeds:
                with tempfile.TemporaryDirectory() as folder:
                    runs["her_exp"].append(ours(task, agent, seed, Path(folder) / "run"))
                runs["stable-baselines3"].append(apart(task, agent, seed))
            figures[f"{task} {agent}"] = tell(task, agent, runs)
    common.last_line(**figures)


if __name__ == "__main__":
    main()
