"""How fast an update is: ours beside stable-baselines3's and the matrix products alone, in turn.

python scripts/bench_updates.py                  # needs stable-baselines3: pip install -e '.[bench]'
python scripts/bench_updates.py --agent sac      # or td3, tqc (ours alone); the products are DDPG's alone
python scripts/bench_updates.py --help

FetchPush's shapes (observation 25, goal 3, action 4), no LayerNorm; float32, ours also bfloat16 where
the CPU multiplies it. Ours normalises its inputs, stable-baselines3 does not. "With sampling" draws from
a full buffer of 1,000,000 transitions as training does: stable-baselines3 once an update, ours 40
batches a call. "Alone" has its batches. GFLOP/s count the products alone.
Each thread count runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import common
import numpy as np
import stable_baselines3
import torch
import toy_push
from products import by_mm, by_onednn, products, run_products
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from her_exp.agents.base import GoalAgent
from her_exp.agents.ddpg import DDPG
from her_exp.agents.products import Precision
from her_exp.agents.sac import SAC
from her_exp.agents.td3 import TD3
from her_exp.agents.tqc import TQC
from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.system import machine
from her_exp.system.machine import prepare_process
from her_exp.types import GoalSpaces

LR, GAMMA, TAU = 1e-3, 0.98, 0.05
AGENTS = {"ddpg": DDPG, "td3": TD3, "sac": SAC, "tqc": TQC}
A_CALL = 40  # batches drawn in one call of ours, and gradient steps of one train() of the peer

OURS, OURS_ALONE = "her_exp, with sampling", "her_exp, alone"
PEER, PEER_ALONE = "stable-baselines3, with sampling", "stable-baselines3, alone"
LOW, LOW_ALONE = "her_exp bfloat16, with sampling", "her_exp bfloat16, alone"
MM, ONEDNN = "products alone (torch.mm)", "products alone (oneDNN)"
LOW_MM = "products alone (bfloat16)"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="rounds of A B A B (default 7)")
    parser.add_argument("--capacity", type=int, default=1_000_000, help="transitions stored")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default 1 2")
    parser.add_argument(
        "--nets", nargs="+",
        default=["256,256,256:256", "256,256,256:1024", "256,256,256:2048", "64,64:256"],
        help="hidden sizes and batch, e.g. 256,256,256:1024",
    )  # fmt: skip
    parser.add_argument("--agent", choices=AGENTS, default="ddpg")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


# -- the two sides -------------------------------------------------------------------------------


def our_agent(
    name: str, hidden: list[int], buffer: HindsightReplayBuffer, precision: Precision
) -> GoalAgent:
    env = toy_push.ToyPush()
    space = env.observation_space.spaces
    agent: GoalAgent = AGENTS[name](
        hidden_sizes=hidden, layer_norm=False, gamma=GAMMA, tau=TAU, actor_lr=LR, critic_lr=LR,
        precision=precision,
        spaces=GoalSpaces(space["observation"], space["desired_goal"], env.action_space),
        reward_range=toy_push.REWARDS, seed=np.random.SeedSequence(0),
    )  # fmt: skip
    seen = buffer.sample(4096)[0]
    agent.observe(seen.observation.numpy(), seen.goal.numpy(), np.ones(len(seen.goal)), 4096)
    return agent


def peer_agent(name: str, hidden: list[int], batch: int) -> Any:
    env = DummyVecEnv([toy_push.ToyPush] * toy_push.LANES)
    agent = getattr(stable_baselines3, name.upper())(
        "MultiInputPolicy", env, learning_rate=LR, buffer_size=toy_push.LANES, batch_size=batch,
        tau=TAU, gamma=GAMMA, replay_buffer_class=HerReplayBuffer, seed=0, device="cpu",
        policy_kwargs={"net_arch": hidden},
    )  # fmt: skip
    agent.set_logger(configure(None, []))
    return agent


def peer_buffer(capacity: int) -> HerReplayBuffer:
    env = DummyVecEnv([toy_push.ToyPush] * toy_push.LANES)
    buffer = HerReplayBuffer(
        capacity, env.observation_space, env.action_space, env, device="cpu",
        n_envs=toy_push.LANES, n_sampled_goal=toy_push.K, goal_selection_strategy="future",
    )  # fmt: skip
    return toy_push.fill_sb3(buffer, toy_push.random_walks(2500))


def ways(
    name: str, hidden: list[int], batch: int, mine: HindsightReplayBuffer, theirs: HerReplayBuffer
) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name; both sides do `A_CALL` updates a call."""
    fixed = [
        type(b)(**{name: part.clone() for name, part in b.parts.items()})
        for b in mine.sample(batch, A_CALL)
    ]

    def with_sampling(agent: GoalAgent) -> None:
        for each in mine.sample(batch, A_CALL):
            agent.update(each)

    def without(agent: GoalAgent) -> None:
        for each in fixed:
            agent.update(each)

    timed: dict[str, Callable[[], object]] = {
        OURS: partial(with_sampling, our_agent(name, hidden, mine, "float32")),
        OURS_ALONE: partial(without, our_agent(name, hidden, mine, "float32")),
    }
    if machine.products().bfloat16:
        timed[LOW] = partial(with_sampling, our_agent(name, hidden, mine, "bfloat16"))
        timed[LOW_ALONE] = partial(without, our_agent(name, hidden, mine, "bfloat16"))
    if hasattr(stable_baselines3, name.upper()):
        peer, peer_alone = peer_agent(name, hidden, batch), peer_agent(name, hidden, batch)
        peer.replay_buffer = theirs
        drawn = theirs.sample(batch)
        peer_alone.replay_buffer = SimpleNamespace(sample=lambda *_, **__: drawn)
        timed[PEER] = partial(peer.train, A_CALL, batch)
        timed[PEER_ALONE] = partial(peer_alone.train, A_CALL, batch)
    if name != "ddpg":
        return timed
    listed = products(hidden, batch)
    timed[MM] = run_products(listed, by_mm)
    if LOW in timed:
        timed[LOW_MM] = run_products(listed, by_mm, torch.bfloat16)
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        timed[ONEDNN] = run_products(listed, by_onednn)
    return timed


# -- measurements --------------------------------------------------------------------------------


def worker(args: argparse.Namespace) -> None:
    """Measure everything with one thread count; ends with a JSON line of ms an update."""
    (threads,) = args.threads
    prepare_process(threads)  # as training does; for both sides
    mine = toy_push.her_exp_buffer(args.capacity, toy_push.random_walks(2500))
    theirs = peer_buffer(args.capacity)
    result: dict[str, Any] = {"machine": common.machine(), "nets": {}}
    for net in args.nets:
        hidden, batch = parse(net)
        spent = common.in_turn(ways(args.agent, hidden, batch, mine, theirs), args.pairs, 0.5)
        result["nets"][net] = {
            name: [1000 * s / (1 if name in (MM, ONEDNN, LOW_MM) else A_CALL) for s in seconds]
            for name, seconds in spent.items()
        }
    common.last_line(**result)


def parse(net: str) -> tuple[list[int], int]:
    sizes, batch = net.split(":")
    return [int(size) for size in sizes.split(",")], int(batch)


def in_process(args: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Run the worker with `threads` threads in a process of its own."""
    count = str(threads)
    done = subprocess.run(
        [
            sys.executable, __file__, "--worker", "--agent", args.agent, "--threads", count,
            "--pairs", str(args.pairs), "--capacity", str(args.capacity), "--nets", *args.nets,
        ],
        env=os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def quotients(spent: dict[str, list[float]]) -> dict[str, common.Spread]:
    """Return the ratios of interest, pair by pair."""
    asked = {
        "stable-baselines3 / her_exp, with sampling": (PEER, OURS),
        "stable-baselines3 / her_exp, alone": (PEER_ALONE, OURS_ALONE),
        "stable-baselines3 / her_exp bfloat16, with sampling": (PEER, LOW),
        "her_exp, alone / her_exp bfloat16, alone": (OURS_ALONE, LOW_ALONE),
        "her_exp bfloat16, alone / products in bfloat16": (LOW_ALONE, LOW_MM),
        "her_exp, alone / products by torch.mm": (OURS_ALONE, MM),
        "her_exp, alone / products by oneDNN": (OURS_ALONE, ONEDNN),
        "stable-baselines3, alone / products by torch.mm": (PEER_ALONE, MM),
    }
    return {
        name: common.ratio(spent[above], spent[below])
        for name, (above, below) in asked.items()
        if {above, below} <= spent.keys()
    }


def main() -> None:
    args = arguments()
    if args.worker:
        worker(args)
        return
    rows: list[tuple[object, ...]] = []
    ratios: list[tuple[object, ...]] = []
    figures: dict[str, Any] = {}
    for threads in args.threads:
        result = in_process(args, threads)
        machine = result["machine"] | {"threads": args.threads}
        for net, spent in result["nets"].items():
            hidden, batch = parse(net)
            about = ("x".join(map(str, hidden)), batch, threads)
            listed = products(hidden, batch) if args.agent == "ddpg" else []
            gflop = sum(2 * b * i * o for _, b, i, o in listed) / 1e9
            rows += [
                (
                    *about,
                    name,
                    (ms := common.spread(each)),
                    f"{1000 * gflop / ms.median:.0f}" if gflop else "-",
                )
                for name, each in spent.items()
            ]
            found = quotients(spent)
            ratios += [(*about, name, value) for name, value in found.items()]
            figures[f"{net} threads {threads}"] = {
                "gflop": gflop or None,
                "ms": {name: common.spread(ms).figures() for name, ms in spent.items()},
                "ratios": {name: value.figures() for name, value in found.items()},
            }
    print(common.table(("net", "batch", "threads", "what", "ms an update", "GFLOP/s"), rows))
    print()
    print(common.table(("net", "batch", "threads", "ratio, pair by pair", "times"), ratios))
    common.last_line(
        benchmark="updates", agent=args.agent, machine=machine, pairs=args.pairs, **figures
    )


if __name__ == "__main__":
    main()
