"""Whole runs beside stable-baselines3's, in turn: time to 95 % on FetchReach, speed on FetchPush.

python scripts/bench_end_to_end.py                   # needs the extras robotics (or fast) and bench
python scripts/bench_end_to_end.py --tasks reach --agents sac --seeds 0 1 2

The same agent, network, batch size, updates for each env step, learning rates, gamma, tau, k, exploration
noise and first temperature, no clipping of targets, one thread each, in processes of their own: ours, theirs,
ours, ... Seconds are those of training: start-up and evaluation are left out on both sides. FetchReach is
judged every 500 steps on 100 goals, success at the last step; the first evaluation at 95 % counts. What
stays different: ours normalises its inputs and, where EnvPool is installed, steps the env there; theirs
steps 8 envs in turn and shows its networks the achieved goal a second time. On FetchReach their SAC is also
run with what rl-baselines3-zoo gives TQC for it (one env, an update a step, normalised), on FetchPush our
DDPG with `env.backend=sync`, which steps the same 8 envs in turn, and our SAC with bfloat16 products.
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
ENTROPY = 0.1  # SAC's first temperature; their 1 would drown rewards of -1 a step
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
OURS: dict[str, dict[str, str]] = {
    "her_exp": {}, "her_exp, sync": {"env.backend": "sync"},
    "her_exp, bfloat16": {"agent.precision": "bfloat16"},
}  # fmt: skip
"""Our sides, with what is special about them."""
PEER = "stable-baselines3"
ZOO: dict[str, Any] = {
    "learning_rate": 1e-3, "learning_starts": 1000, "tau": 0.005, "gamma": 0.95, "gradient_steps": 1,
    "policy_kwargs": {"net_arch": [64, 64]},
}  # fmt: skip
"""rl-baselines3-zoo's for TQC on FetchReach; the rest as ours: batch 256, 4 goals of `future`."""
SIDES = {
    ("reach", "ddpg"): ["her_exp", PEER],
    ("reach", "sac"): ["her_exp", PEER, f"{PEER}, zoo's settings"],
    ("push", "ddpg"): ["her_exp", "her_exp, sync", PEER],
    ("push", "sac"): ["her_exp", "her_exp, bfloat16", PEER],
}


def ours(who: str, task: str, agent: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train with `her_exp.train`; returns its figures."""
    it = TASKS[task]
    evaluate = EVERY if task == "reach" else it["steps"]
    words = {
        "env": it["env"], "env.num_envs": LANES, "agent": agent, "threads": 1,
        "buffer.capacity": 1_000_000,
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
        words |= {"agent.noise_std": 0.2, "agent.clip_targets": False}
    else:
        words |= {"agent.entropy_start": ENTROPY, "agent.entropy_lr": it["lr"]}
    if task == "reach":
        words["trainer.stop_at"] = 0.95
    words |= OURS[who]
    said = [f"{k}={'null' if v is None else v}".replace(" ", "") for k, v in words.items()]
    result = common.train(said, seed, folder)
    reached = result["reached"].get("0.95")
    return {
        "steps": result["env_steps"], "updates": result["updates"], "seconds": result["train_seconds"],
        "reached": reached and [reached["env_steps"], reached["train_seconds"]],
    }  # fmt: skip


def peers(who: str, task: str, agent: str, seed: int) -> dict[str, Any]:
    """Train with stable-baselines3 in this process; returns its figures."""
    import gymnasium as gym
    import gymnasium_robotics
    import numpy as np
    import torch
    from stable_baselines3 import DDPG, SAC, HerReplayBuffer
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    gym.register_envs(gymnasium_robotics)
    it = TASKS[task]
    env = make_vec_env(it["id"], n_envs=LANES if who == PEER else 1, seed=seed)
    if who != PEER:
        env = VecNormalize(env, gamma=ZOO["gamma"])
    shown = getattr(env, "normalize_obs", lambda seen: seen)
    judge = make_vec_env(it["id"], n_envs=LANES, seed=seed + 10_000)
    width = env.action_space.shape[0]
    noise = NormalActionNoise(np.zeros(width), np.full(width, 0.2))
    settings: dict[str, Any] = {
        "learning_rate": it["lr"], "buffer_size": 1_000_000, "learning_starts": it["starts"],
        "batch_size": it["batch"], "tau": 0.05, "gamma": 0.98, "train_freq": 1,
        "gradient_steps": it["updates"],
        "replay_buffer_kwargs": {"n_sampled_goal": 4, "goal_selection_strategy": "future"},
        "policy_kwargs": {"net_arch": it["net"], "n_critics": 1 if agent == "ddpg" else 2},
    }  # fmt: skip
    if who != PEER:
        settings |= ZOO
    if agent == "ddpg":
        settings["action_noise"] = VectorizedActionNoise(noise, LANES)
    elif who == PEER:
        settings["ent_coef"] = f"auto_{ENTROPY}"
    model = {"ddpg": DDPG, "sac": SAC}[agent](
        "MultiInputPolicy", env, seed=seed, replay_buffer_class=HerReplayBuffer, **settings
    )

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
                action, _ = model.predict(shown(observation), deterministic=True)
                observation, _, done, infos = judge.step(action)
                wins += [i["is_success"] for i, over in zip(infos, done, strict=True) if over]
            return float(np.mean(wins))  # episodes are all of 50 steps: none is favoured

    callback = Judge()
    model.learn(it["steps"], callback=callback)
    return {
        "steps": model.num_timesteps, "updates": model._n_updates, "seconds": callback.seconds(),
        "reached": callback.reached,
    }  # fmt: skip


def of(who: str, task: str, agent: str, seed: int) -> dict[str, Any]:
    """Train one of the sides in a process of its own; returns its figures."""
    if who in OURS:
        with tempfile.TemporaryDirectory() as folder:
            return ours(who, task, agent, seed, Path(folder) / "run")
    words = [sys.executable, __file__, "--worker", who, task, agent, str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def tell_time(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Print when each run reached 95 %; returns it. No rates: runs of other lengths update more or less."""
    rows, figures = [], {}
    for who, these in runs.items():
        met = [r["reached"] for r in these]
        figures[who] = {"reached": met, "steps": [r["steps"] for r in these]}
        figures[who]["seconds"] = [r["seconds"] for r in these]
        cells = [
            f"{m[0]:,} / {m[1]:.1f}" if m else f"- ({r['seconds']:.1f} s)"
            for m, r in zip(met, these, strict=True)
        ]
        rows.append([who, ", ".join(cells)])
    print(common.table(["", "95 % at (env steps / s, each seed)"], rows), flush=True)
    return figures


def tell_rates(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Print env steps and updates a second of runs of one length; returns them and their ratio."""
    rows, figures = [], {}
    for who, these in runs.items():
        rates = {
            "env steps/s": common.spread(r["steps"] / r["seconds"] for r in these),
            "updates/s": common.spread(r["updates"] / r["seconds"] for r in these),
        }
        figures[who] = {name: spread.figures() for name, spread in rates.items()}
        figures[who]["updates"] = [r["updates"] for r in these]
        rows.append([who, *(str(spread) for spread in rates.values())])
    print(common.table(["", "env steps/s", "updates/s"], rows), flush=True)
    theirs = [r["seconds"] / r["steps"] for r in runs[PEER]]
    for who in (who for who in runs if who in OURS):
        faster = common.ratio(theirs, [r["seconds"] / r["steps"] for r in runs[who]])
        figures[who]["faster"] = faster.figures()
        print(f"\nenv steps/s, {who} over {PEER}: {faster}", flush=True)
    return figures


def main() -> None:
    """Run the pairs that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--agents", nargs="+", choices=["ddpg", "sac"], default=["ddpg", "sac"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if args.worker:
        who, task, agent, seed = args.worker
        print(json.dumps(peers(who, task, agent, int(seed))))
        return
    figures: dict[str, Any] = {"machine": common.machine()}
    for task in args.tasks:
        for agent in args.agents:
            runs: dict[str, list[dict[str, Any]]] = {who: [] for who in SIDES[task, agent]}
            for seed in args.seeds:
                for who in runs:
                    runs[who].append(of(who, task, agent, seed))
            print(f"\n{TASKS[task]['id']}, {agent}, {len(args.seeds)} seeds\n")
            tell = tell_time if task == "reach" else tell_rates
            figures[f"{task} {agent}"] = tell(runs)
    common.last_line(**figures)


if __name__ == "__main__":
    main()
