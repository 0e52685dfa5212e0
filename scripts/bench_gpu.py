"""What a GPU gives: checks of equality, then updates a second and whole runs, each beside the CPU.

PYTHONPATH=. python scripts/bench_gpu.py --out figures.jsonl     # minutes; needs one CUDA device
PYTHONPATH=. python scripts/bench_gpu.py --device cpu --quick    # tries the script where there is none

Prints a JSON line for each figure as soon as it is there, with the card's name, and appends it to `--out`.
FetchPush's shapes (observation 25, goal 3, action 4); updates with sampling and relabelling.
stable-baselines3 is measured where it is installed. Rates are medians (lowest-highest) of visits in turn.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import gpu_checks
import numpy as np
import torch
import toy_push

from her_exp.system.machine import prepare_process

A_CALL = 40  # updates between two looks at the clock
#: agent, hidden sizes, batch
NETS = (
    ("ddpg", (64, 64), 256), ("ddpg", (256, 256, 256), 256), ("ddpg", (256, 256, 256), 1024),
    ("sac", (256, 256, 256), 1024), ("tqc", (256, 256, 256), 1024),
)  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=["checks", "rates", "runs", "batched"])
    parser.add_argument("--quick", action="store_true", help="small numbers: to try the script")
    return parser.parse_args()


class Told:
    """Prints figures, one a line, and keeps them."""

    def __init__(self, device: str, out: Path | None):
        self._card = torch.cuda.get_device_name() if device.startswith("cuda") else "none"
        self._out = out

    def __call__(self, what: str, **figures: Any) -> None:
        """Tell one figure."""
        line = json.dumps({"card": self._card, "what": what, **figures})
        print(line, flush=True)
        if self._out:
            with self._out.open("a") as file:
                file.write(line + "\n")


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


# -- rates ---------------------------------------------------------------------------------------


def learning(
    name: str, hidden: tuple[int, ...], batch: int, device: str, walks: Any, **settings: Any
) -> Callable[[], None]:
    """Return what draws and learns `A_CALL` times."""
    storage = settings.pop("storage", None)
    buffer = toy_push.her_exp_buffer(100_000, walks, device=device, storage=storage)
    agent = gpu_checks.agent_of(name, device, hidden_sizes=hidden, layer_norm=False, **settings)

    def run() -> None:
        for drawn in buffer.sample(batch, A_CALL):
            agent.update(drawn)
        wait(device)

    return run


def peer(name: str, hidden: tuple[int, ...], batch: int, device: str) -> Callable[[], None]:
    """Return `A_CALL` updates of stable-baselines3 with its own sampling."""
    import stable_baselines3 as sb3
    from stable_baselines3.common.logger import configure
    from stable_baselines3.common.vec_env import DummyVecEnv

    env = DummyVecEnv([toy_push.ToyPush] * toy_push.LANES)
    agent = getattr(sb3, name.upper())(
        "MultiInputPolicy", env, buffer_size=50_000, batch_size=batch, device=device, gamma=0.98,
        replay_buffer_class=sb3.HerReplayBuffer, policy_kwargs={"net_arch": list(hidden)},
    )  # fmt: skip
    agent.set_logger(configure(None, []))
    toy_push.fill_sb3(agent.replay_buffer, toy_push.random_walks(200))

    def run() -> None:
        agent.train(A_CALL, batch)
        wait(device)

    return run


def rates(args: argparse.Namespace, told: Told) -> None:
    walks = toy_push.random_walks(20 if args.quick else 250)
    for name, hidden, batch in NETS[: 1 if args.quick else None]:
        ours = partial(learning, name, hidden, batch, walks=walks)
        ways: dict[str, Callable[[], object]] = {
            "replayed": ours(args.device),
            "as they are": ours(args.device, replay_updates=False),
            "replayed, rows on the host": ours(args.device, storage="cpu"),
            "cpu": ours("cpu"),
        }
        if importlib.util.find_spec("stable_baselines3") and name in ("ddpg", "sac"):
            ways["stable-baselines3"] = peer(name, hidden, batch, args.device)
        for _ in range(2):  # what is recorded is recorded before the clock runs
            ways["replayed"](), ways["replayed, rows on the host"]()
        spent = common.in_turn(ways, args.pairs, 0.05 if args.quick else 0.4)
        for way, seconds in spent.items():
            found = common.spread(A_CALL / s for s in seconds).figures()
            told("updates/s", way=way, agent=name, hidden=hidden, batch=batch, rate=found)


# -- whole runs ------------------------------------------------------------------------------------


def run_once(overrides: list[str]) -> dict[str, Any]:
    """Train in a process of its own; returns its result.json."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "her_exp.train", *overrides]
        command += [f"hydra.run.dir={folder}/run", "trainer.progress=false"]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        where = next(line for line in done.stderr.splitlines() if " s: " in line)
        found: dict[str, Any] = json.loads(Path(folder, "run", "result.json").read_text())
        return found | {"where": where.partition(" s: ")[2]}


def runs(args: argparse.Namespace, told: Told) -> None:
    small = ["trainer.total_steps=800", "trainer.eval_episodes=5"] if args.quick else []
    wide = ["agent.hidden_sizes=[256,256,256]", "trainer.batch_size=1024", *small]
    for name, overrides, seeds in (("default", small, 3), ("3x256, batch 1,024", wide, 1)):
        for seed in range(1 if args.quick else seeds):
            for device in (args.device, "cpu"):
                found = run_once([*overrides, f"device={device}", f"seed={seed}"])
                told(
                    "run", name=name, device=device, seed=seed, train_s=found["train_seconds"],
                    success=found["eval"]["success_final"], where=found["where"],
                )  # fmt: skip


def batched(args: argparse.Namespace, told: Told) -> None:
    """Sweeps as one program: seconds of training of the whole group, and each member's success."""
    small = ["trainer.total_steps=800", "trainer.eval_episodes=5"] if args.quick else []
    wide = ["agent.hidden_sizes=[256,256,256]", "trainer.eval_every=null"]
    wide += small or ["trainer.total_steps=2000"]
    for name, overrides, members in (("default", small, 64), ("3x256", wide, 64)):
        members = 3 if args.quick else members
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "her_exp.train", "-m", "hydra/launcher=batched"]
            command += [*overrides, f"seed=range({members})", f"device={args.device}"]
            command += [f"hydra.sweep.dir={folder}/s"]
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            wall = time.perf_counter() - start
            if done.returncode:
                raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr[-5000:]}")
            files = [json.loads(path.read_text()) for path in Path(folder).glob("s/*/result.json")]
            where = [line for line in done.stderr.splitlines() if " s: " in line]
        success = [one["eval"]["success_final"] for one in files]
        told(
            "batched", name=name, members=members, device=args.device, wall_s=round(wall, 1),
            train_s=common.spread(one["train_seconds"] for one in files).figures(),
            updates_each=files[0]["updates"], success=common.spread(success).figures(),
            below_98=sum(each < 0.98 for each in success), where=where[-1:],
        )  # fmt: skip


def checks(args: argparse.Namespace, told: Told) -> None:
    walks = toy_push.random_walks(20)
    for settings in ({}, {"strategy": "future_actual"}, {"strategy": "random"}):
        told("rows", settings=settings, **gpu_checks.rows(args.device, walks, **settings))
    for name in gpu_checks.AGENTS.copy():
        for what, gap in gpu_checks.replays(name, args.device):
            told("equality", agent=name, check=what, furthest=gap)
        gap = gpu_checks.groups(name, args.device)
        told("equality", agent=name, check="a group replayed against as it is", furthest=gap)
    if args.device.startswith("cuda"):
        told("unrecordable loss", warnings=gpu_checks.refused(args.device))
        told("rewards out of range", seen=gpu_checks.late_refusal(args.device, walks))


def main() -> None:
    args = arguments()
    np.seterr(all="raise", under="ignore")
    prepare_process(int(os.environ.get("OMP_NUM_THREADS", "1")))
    told = Told(args.device, args.out)
    told("machine", **common.machine())
    parts = {"checks": checks, "rates": rates, "runs": runs, "batched": batched}
    for part in args.only:
        parts[part](args, told)


if __name__ == "__main__":
    main()
