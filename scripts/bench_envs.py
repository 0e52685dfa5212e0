"""How fast envs step with random actions: EnvPool's lanes beside Gymnasium's sync ones, in turn.

python scripts/bench_envs.py                     # needs EnvPool: pip install -e '.[fast]'
python scripts/bench_envs.py --help

The clock runs over whole episodes of all lanes with their resets; transitions are counted, steps
at which a lane resets itself are not. The loop is ours, nothing learns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import common
import numpy as np
from gymnasium.vector import VectorEnv

from her_exp.envs.make import GoalTask


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ids", nargs="+", default=["FetchReach-v4", "FetchPush-v4"])
    parser.add_argument("--imports", nargs="*", default=["gymnasium_robotics"])
    parser.add_argument("--lanes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of EnvPool")
    parser.add_argument(
        "--peers", nargs="*", default=["sync"], choices=["sync", "async"], help="Gymnasium's"
    )
    parser.add_argument("--pairs", type=int, default=5, help="rounds of A B A B (default 5)")
    return parser.parse_args()


def episodes(env: VectorEnv, steps: int) -> None:
    """Play one episode of all lanes with random actions, and the step that resets them."""
    rng, shape = np.random.default_rng(0), env.action_space.shape or ()
    for _ in range(steps + 1):
        env.step(rng.uniform(-1.0, 1.0, shape).astype(np.float32))


def measure(
    args: argparse.Namespace, id: str, lanes: int, rows: list[tuple[object, ...]]
) -> dict[str, Any]:
    """Time all backends with so many lanes; fill in the rows of the table."""
    tasks = {
        name: GoalTask(id, imports=args.imports, num_envs=lanes, backend=name)
        for name in args.peers
    }
    tasks |= {
        f"envpool, {threads} threads": GoalTask(
            id, imports=args.imports, num_envs=lanes, backend="envpool", num_threads=threads
        )
        for threads in args.threads
    }
    steps = next(iter(tasks.values())).spec.max_episode_steps
    if steps is None:
        raise SystemExit(f"{id}: needs a time limit, so that all lanes end together")
    envs = {name: task.make() for name, task in tasks.items()}
    try:
        starts = {}
        for name, env in envs.items():
            env.reset(seed=0)  # EnvPool loads its library
            starts[name] = common.seconds_a_call(partial(env.reset, seed=1), 3)
        ways: dict[str, Callable[[], object]] = {
            name: partial(episodes, env, steps) for name, env in envs.items()
        }
        spent = common.in_turn(ways, args.pairs)
    finally:
        for env in envs.values():
            env.close()
    figures: dict[str, Any] = {}
    for name, seconds in spent.items():
        rate = common.spread(lanes * steps / second for second in seconds)
        gain = common.ratio(spent[args.peers[0]], seconds) if args.peers else None
        rows.append((id, lanes, name, rate, gain or "", f"{starts[name] * 1e3:.0f}"))
        figures[name] = {"steps_per_s": rate.figures(), "reset_s": float(f"{starts[name]:.3g}")}
        if gain:
            figures[name]["ratio"] = gain.figures()
    return figures


def main() -> None:
    args = arguments()
    rows: list[tuple[object, ...]] = []
    figures = {
        id: {str(lanes): measure(args, id, lanes, rows) for lanes in args.lanes} for id in args.ids
    }
    first = args.peers[0] if args.peers else "-"
    head = ("task", "lanes", "backend", "env steps/s", f"ratio to {first}", "reset(seed), ms")
    print(common.table(head, rows))
    common.last_line(benchmark="envs", machine=common.machine(), pairs=args.pairs, **figures)


if __name__ == "__main__":
    main()
