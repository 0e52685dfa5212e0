"""Does a long run leak? One hour of the real command, watched from outside.

    python scripts/soak.py                      # an hour
    python scripts/soak.py minutes=5            # a trial
    python scripts/soak.py minutes=60 folder=/tmp/soak

The run: PointReach padded to 25 observation values, a ring of 1,000,000 rows that wraps, an evaluation
every 10,000 steps, a full checkpoint every 200,000. It is watched every 5 seconds: resident memory, threads,
child processes, open files, bytes of the event files and of metrics.csv. Once the ring is full, memory must
be flat, and the files must grow no faster per env step than before. The run is ended by SIGTERM, as a
scheduler would. The last line is one JSON object; the exit code is 1 if something grew.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from common import last_line, table

from her_exp.config.arguments import parse, run
from her_exp.types import UserError

CAPACITY = 1_000_000
OVERRIDES = [
    "env=gym", "env.id=bench/WidePointReach-v0", "env.imports=[wide_point_reach]",
    "env.num_envs=8", "env.num_eval_envs=50", "env.reward_range=[-1.0,0.0]", "env.name=soak",
    f"buffer.capacity={CAPACITY}", "trainer.total_steps=1000000000", "trainer.updates_per_step=0.125",
    "trainer.eval_every=10000", "trainer.eval_episodes=50", "trainer.log_every=5000",
    "trainer.checkpoint_every=200000",
]  # fmt: skip
EVERY = 5.0  #: seconds between two looks
MAY_GROW_MB = 8.0  #: of resident memory in the whole time after the ring is full


class Look(NamedTuple):
    """What can be seen of a run at one moment."""

    seconds: float
    env_steps: int
    rss_mb: float
    threads: int
    children: int
    files: int
    events: int  #: bytes
    csv: int  #: bytes


def look(pid: int, folder: Path, start: float) -> Look:
    """Read /proc and the run folder."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return Look(
        seconds=time.monotonic() - start,
        env_steps=last_step(folder / "metrics.csv"),
        rss_mb=int(status["VmRSS"].split()[0]) / 1024,
        threads=int(status["Threads"]),
        children=len(children),
        files=len(os.listdir(f"/proc/{pid}/fd")),
        events=sum(f.stat().st_size for f in folder.glob("events.*")),
        csv=(folder / "metrics.csv").stat().st_size,
    )


def last_step(csv: Path) -> int:
    """Return the env steps of the last whole row of metrics.csv, 0 if there is none."""
    if not csv.exists():
        return 0
    with csv.open("rb") as file:
        file.seek(max(0, csv.stat().st_size - 4096))
        rows = file.read().split(b"\r\n")[1:-1]
    steps = [int(row.split(b",")[0]) for row in rows if row.split(b",")[0].isdigit()]
    return steps[-1] if steps else 0


def watch(folder: Path, seconds: float) -> tuple[list[Look], int]:
    """Run the command for `seconds`; returns what was seen and its exit code."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    command = [sys.executable, "-m", "her_exp.train", *OVERRIDES, f"hydra.run.dir='{folder}'"]
    looks: list[Look] = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        start = time.monotonic()
        while process.poll() is None and time.monotonic() - start < seconds:
            time.sleep(EVERY)
            if (folder / "metrics.csv").exists() and process.poll() is None:
                looks.append(look(process.pid, folder, start))
        process.send_signal(signal.SIGTERM)
        return looks, process.wait()


def judge(looks: list[Look]) -> dict[str, Any]:
    """Return figures of the time after the ring is full, and what grew in it."""
    # A twentieth later: the checkpoint in the middle of which the ring filled is then written.
    full = [one for one in looks if one.env_steps > 1.05 * CAPACITY]
    if len(full) < 20:
        return {"grew": ["too short: the ring was not full for long enough to tell"]}
    steps = np.array([one.env_steps for one in full], float)
    spans = np.array_split(np.arange(len(full)), 4)
    first, last = ([full[i] for i in spans[j]] for j in (0, -1))
    growth = median(o.rss_mb for o in last) - median(o.rss_mb for o in first)
    rates = {}
    for name in ("events", "csv"):
        early = _rate([o for o in looks if 0 < o.env_steps <= CAPACITY], name)
        rates[name] = (early, _rate(full, name))
    grew = []
    if growth > MAY_GROW_MB:
        grew.append(f"memory by {growth:.1f} MB")
    for name in ("threads", "children", "files"):
        before, after = (max(getattr(o, name) for o in part) for part in (first, last))
        if after > before:
            grew.append(f"{name} from {before} to {after}")
    for name, (early, late) in rates.items():
        if late > 1.1 * early:
            grew.append(
                f"{name} faster than before: {late:.3f} instead of {early:.3f} bytes a step"
            )
    return {
        "grew": grew,
        "minutes_full": round((full[-1].seconds - full[0].seconds) / 60, 1),
        "env_steps": int(steps[-1]),
        "times_round_the_ring": round(steps[-1] / CAPACITY, 1),
        "rss_mb_first_quarter": round(median(o.rss_mb for o in first), 1),
        "rss_mb_last_quarter": round(median(o.rss_mb for o in last), 1),
        "rss_mb_highest": round(max(o.rss_mb for o in full), 1),
        "threads": max(o.threads for o in full),
        "children": max(o.children for o in full),
        "files": max(o.files for o in full),
        "bytes_a_step": {name: [round(x, 4) for x in pair] for name, pair in rates.items()},
    }


def _rate(looks: list[Look], name: str) -> float:
    """Bytes written for each env step, over all of `looks`."""
    steps = looks[-1].env_steps - looks[0].env_steps
    return float((getattr(looks[-1], name) - getattr(looks[0], name)) / max(1, steps))


def command(argv: Sequence[str]) -> int:
    asked = parse(argv, {"minutes": 60, "folder": ""})
    minutes = asked["minutes"]
    if minutes < 1:
        raise UserError(f"minutes={minutes}: give 1 or more")
    folder = Path(asked["folder"] or tempfile.mkdtemp(prefix="soak-")) / "run"
    looks, code = watch(folder, 60 * minutes)
    (folder.parent / "looks.json").write_text(json.dumps([one._asdict() for one in looks]))
    result = json.loads((folder / "result.json").read_text())
    some = looks[:: max(1, len(looks) // 12)]
    print(table(Look._fields, [[f"{value:,.0f}" for value in one] for one in some]))
    figures = judge(looks)
    if (code, result["status"]) != (128 + signal.SIGTERM, "stopped"):
        figures["grew"].append(f"ended with {code}, status {result['status']}: {result['reason']}")
    last_line(**figures, status=result["status"], folder=str(folder))
    return int(bool(figures["grew"]))


if __name__ == "__main__":
    run(command, __doc__)
