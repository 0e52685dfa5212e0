"""What a checkpoint costs: 1,000,000 stored steps of FetchPush's shapes, all of it on the disk.

    python scripts/bench_checkpoint.py                      # one thread
    python scripts/bench_checkpoint.py threads=2 folder=.   # where the file goes: a disk, not a tmpfs

Seconds and bytes of one full checkpoint (agent, buffer, generators; written, synced, renamed), the seconds
of reading it back, and its share of a run that saves every 50,000 env steps and makes one update of 3x256
networks at batch 1,024 every 10 env steps. The env's own time is left out, so the true share is smaller.
Saves and updates are timed in turn. The last line is one JSON object.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from common import last_line, machine, ratio, spread, table
from toy_push import REWARDS, ToyPush, her_exp_buffer, random_walks

from her_exp.agents.ddpg import DDPG
from her_exp.config.arguments import parse, run
from her_exp.store.checkpoint import Checkpoints
from her_exp.system.machine import prepare_process
from her_exp.types import GoalSpaces, UserError

STEPS = 1_000_000
EVERY = 50_000  #: env steps between two checkpoints
BATCH, A_CALL = 1024, 64
UPDATES = EVERY // 10
ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command(argv: Sequence[str]) -> int:
    asked = parse(argv, {"threads": 1, "folder": ""})
    if asked["threads"] < 1:
        raise UserError(f"threads={asked['threads']}: give 1 or more")
    if asked["folder"] and not Path(asked["folder"]).is_dir():
        raise UserError(f"folder={asked['folder']}: no such folder")
    prepare_process(asked["threads"])  # as a run does
    env = ToyPush()
    space = env.observation_space.spaces
    spaces = GoalSpaces(space["observation"], space["desired_goal"], env.action_space)
    buffer = her_exp_buffer(STEPS, random_walks(16))
    agent = DDPG(
        hidden_sizes=(256, 256, 256),
        spaces=spaces,
        reward_range=REWARDS,
        seed=np.random.SeedSequence(0),
    )
    with tempfile.TemporaryDirectory(dir=asked["folder"] or None) as folder:
        checkpoints = Checkpoints(Path(folder))

        def save(number: int) -> None:
            record = {"env_steps": number}
            state = {"agent": agent.state_dict(), "buffer": buffer.state_dict(), "record": record}
            state |= dict.fromkeys(("envs", "functions", "clock", "log"), None)
            checkpoints.save(state, number)

        def learn() -> None:
            for batch in buffer.sample(BATCH, A_CALL):
                agent.update(batch)

        learn()
        saving, learning = [], []
        for number in range(ROUNDS):
            saving.append(seconds(lambda number=number: save(number)))  # type: ignore[misc]
            learning.append(seconds(learn) / A_CALL * UPDATES)
        size = checkpoints.all()[-1].stat().st_size
        reading = [seconds(checkpoints.latest) for _ in range(3)]
    share = ratio(
        [100 * s for s in saving], [s + rest for s, rest in zip(saving, learning, strict=True)]
    )
    rows = [
        ["save, synced (s)", spread(saving)],
        ["read back (s)", spread(reading)],
        [f"{UPDATES:,} updates with their batches (s)", spread(learning)],
        ["share of the run (%)", share],
        ["bytes", f"{size:,} ({size / STEPS:.0f} a step)"],
    ]
    print(table(["what", "median (lowest-highest)"], rows))
    last_line(
        machine=machine(),
        bytes=size,
        save_s=spread(saving).figures(),
        read_s=spread(reading).figures(),
        updates_s=spread(learning).figures(),
        share_percent=share.figures(),
    )
    return 0


if __name__ == "__main__":
    run(command, __doc__)
