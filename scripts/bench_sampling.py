"""How fast batches are drawn and relabelled: ours beside stable-baselines3, in turn, in one run.

python scripts/bench_sampling.py                 # needs stable-baselines3: pip install -e '.[bench]'
python scripts/bench_sampling.py --help

Data of FetchPush's shapes (observation 25, goals 3, action 4, episodes of 50), k=4, strategy future.
The clock runs from the draw to float32 tensors: goals drawn, rewards recomputed, and terminations.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import common
import numpy as np
import torch
import toy_push
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv

from her_exp.buffers.hindsight import HindsightReplayBuffer

BATCH, LARGE = 256, 16_384
DTYPES: dict[str, type[np.floating[Any]]] = {"float32": np.float32, "float64": np.float64}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="rounds of A B A B (default 7)")
    parser.add_argument("--capacity", type=int, default=1_000_000, help="transitions stored")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument(
        "--batches", type=int, default=40, help="batches a call of ours, as training draws"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000],
        help="transitions stored when ours is measured alone (10 million take 1.7 GB)",
    )  # fmt: skip
    return parser.parse_args()


def peer_buffer(capacity: int, dtype: str) -> HerReplayBuffer:
    kind = DTYPES[dtype]
    env = DummyVecEnv([lambda: toy_push.ToyPush(kind)] * toy_push.LANES)
    buffer = HerReplayBuffer(
        capacity, env.observation_space, env.action_space, env, device="cpu",
        n_envs=toy_push.LANES, n_sampled_goal=toy_push.K, goal_selection_strategy="future",
    )  # fmt: skip
    toy_push.fill_sb3(buffer, toy_push.random_walks(walks_for(capacity), kind))
    return buffer


def walks_for(capacity: int) -> int:
    """Return how many different rounds of episodes are made; beyond a million they repeat."""
    return max(1, min(capacity, 1_000_000) // (toy_push.EPISODE * toy_push.LANES))


def peer_draw(buffer: HerReplayBuffer, batch_size: int) -> Any:
    """Draw as stable-baselines3's agents get it: their networks take float32."""
    data = buffer.sample(batch_size)
    for part in (data.observations, data.next_observations):
        for key, value in part.items():
            part[key] = value.float()
    return data


# -- is what comes out right? --------------------------------------------------------------------


def check_draw(
    who: str, batches: list[tuple[torch.Tensor, ...]], own: np.ndarray[Any, Any]
) -> float:
    """Return the share relabelled; raises if a reward contradicts its goal or the share is wrong.

    Args:
        who: named in messages.
        batches: (next observation, goal, reward, terminated) of each.
        own: (n,) first numbers of all goals that episodes were given.
    """
    env = toy_push.ToyPush()
    parts = [torch.cat(part).numpy() for part in zip(*batches, strict=True)]
    following, goal, reward, terminated = parts
    assert all(part.dtype == np.float32 for part in parts), f"{who}: not float32"
    expected = env.compute_reward(following[:, toy_push.ACHIEVED], goal, {})
    gap = np.linalg.norm(following[:, toy_push.ACHIEVED] - goal, axis=-1)
    clear = np.abs(gap - toy_push.THRESHOLD) > 1e-6  # where rounding decides, both are right
    assert (reward.reshape(-1) == expected)[clear].all(), f"{who}: rewards contradict goals"
    assert not terminated.any(), f"{who}: a time limit counts as an end"
    share = float(1.0 - np.isin(goal[:, 0], own).mean())
    assert abs(share - toy_push.K / (toy_push.K + 1)) < 0.02, f"{who}: {share:.3f} relabelled"
    return share


def check(
    ours: HindsightReplayBuffer, peers: dict[str, HerReplayBuffer], capacity: int
) -> dict[str, float]:
    walks = toy_push.random_walks(walks_for(capacity))
    own = np.concatenate([walk.desired[:, 0] for walk in walks])
    drawn = [(b.next_observation, b.goal, b.reward, b.terminated) for b in ours.sample(BATCH, 40)]
    shares = {"her_exp": check_draw("her_exp", drawn, own)}
    for dtype, peer in peers.items():
        drawn = []
        for _ in range(40):
            data = peer_draw(peer, BATCH)
            parts = data.next_observations["observation"], data.observations["desired_goal"]
            drawn.append((*parts, data.rewards, data.dones))
        shares[f"stable-baselines3 {dtype}"] = check_draw("stable-baselines3", drawn, own)
    return shares


# -- measurements --------------------------------------------------------------------------------


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    rows: list[tuple[object, ...]] = []
    figures: dict[str, Any] = {}
    side_by_side(args, rows, figures)
    by_capacity(args, rows, figures)
    print(
        common.table(("buffer", "transitions", "batch", "1000 transitions/s", "us a batch"), rows)
    )
    print("\nours over stable-baselines3, pair by pair:")
    for name, times in figures["ratios"].items():
        median, low, high = times
        print(f"  {name}: {median:.1f} times ({low:.1f}-{high:.1f})")
    common.last_line(benchmark="sampling", machine=common.machine(), pairs=args.pairs, **figures)


def side_by_side(
    args: argparse.Namespace, rows: list[tuple[object, ...]], figures: dict[str, Any]
) -> None:
    """Measure all ways in turn."""
    ours = toy_push.her_exp_buffer(args.capacity, toy_push.random_walks(walks_for(args.capacity)))
    peers = {dtype: peer_buffer(args.capacity, dtype) for dtype in DTYPES}
    shares = check(ours, peers, args.capacity)
    print("relabelled:", ", ".join(f"{name} {share:.3f}" for name, share in shares.items()))

    many = args.batches
    ways: dict[str, Callable[[], object]] = {}
    count: dict[str, tuple[int, int]] = {}  # batch size, batches a call

    def way(name: str, run: Callable[[], object], size: int, batches: int = 1) -> None:
        ways[name], count[name] = run, (size, batches)

    way(f"her_exp, {many} a call", partial(ours.sample, BATCH, many), BATCH, many)
    way("her_exp, 1 a call", partial(ours.sample, BATCH), BATCH)
    for dtype, peer in peers.items():
        way(f"stable-baselines3, {dtype}", partial(peer_draw, peer, BATCH), BATCH)
    way("her_exp, large", partial(ours.sample, LARGE), LARGE)
    for dtype, peer in peers.items():
        way(f"stable-baselines3, {dtype}, large", partial(peer_draw, peer, LARGE), LARGE)

    spent = common.in_turn(ways, args.pairs)
    for name, seconds in spent.items():
        rows.append(row(name, args.capacity, *count[name], seconds))
    figures |= {"capacity": args.capacity, "transitions_per_s": {}, "ratios": {}}
    for name, seconds in spent.items():
        figures["transitions_per_s"][name] = rates(*count[name], seconds).figures()
    for dtype in DTYPES:
        peer = f"stable-baselines3, {dtype}"
        for mine in (f"her_exp, {many} a call", "her_exp, 1 a call"):
            gain = common.ratio([s * many for s in spent[peer]], spent[mine])
            if count[mine][1] == 1:
                gain = common.ratio(spent[peer], spent[mine])
            figures["ratios"][f"batch {BATCH}, {mine} / {dtype}"] = gain.figures()
        gain = common.ratio(spent[f"{peer}, large"], spent["her_exp, large"])
        figures["ratios"][f"batch {LARGE} / {dtype}"] = gain.figures()


def by_capacity(
    args: argparse.Namespace, rows: list[tuple[object, ...]], figures: dict[str, Any]
) -> None:
    """Measure ours at several capacities, one buffer at a time."""
    figures["by_capacity"] = {}
    for capacity in args.sizes:
        buffer = toy_push.her_exp_buffer(capacity, toy_push.random_walks(walks_for(capacity)))
        ways: dict[str, Callable[[], object]] = {
            f"{args.batches} a call": partial(buffer.sample, BATCH, args.batches),
            "large": partial(buffer.sample, LARGE),
        }
        spent = common.in_turn(ways, args.pairs)
        sizes = {f"{args.batches} a call": (BATCH, args.batches), "large": (LARGE, 1)}
        figures["by_capacity"][str(capacity)] = {
            name: rates(*sizes[name], seconds).figures() for name, seconds in spent.items()
        }
        for name, seconds in spent.items():
            rows.append(row(f"her_exp, {name}", capacity, *sizes[name], seconds))
        del buffer, ways


def rates(size: int, batches: int, seconds: list[float]) -> common.Spread:
    return common.spread(size * batches / second for second in seconds)


def row(
    name: str, capacity: int, size: int, batches: int, seconds: list[float]
) -> tuple[object, ...]:
    thousands = common.spread(size * batches / second / 1000 for second in seconds)
    each = common.spread(second / batches * 1e6 for second in seconds)
    return name, f"{capacity:,}", size, thousands, each


if __name__ == "__main__":
    main()
