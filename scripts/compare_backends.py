"""Is it the same task on another backend? One policy, evaluated on both, success side by side.

    python scripts/compare_backends.py run=outputs/fetch_push/ddpg/2026-11-26_10-00-00-123456

  run=FOLDER              a run folder; a policy of 30 to 90 % success tells most
  backends=envpool,sync   the two to compare
  episodes=500            held-out episodes on each; EnvPool draws goals of its own; sync and async the same
  seed=0                  another seed gives other goals
  checkpoint=last         last or best
  trust=[PACKAGE]         for a run of somebody else's classes: packages whose code may run

Passes if the 95 % interval of the difference of the two success rates holds 0. Nothing is said where that
means little: the interval is wider than 20 points, or the policy always fails or always succeeds on both.
Exit status: 0 the same, 1 different, 2 the command is wrong, 3 cannot tell. The last line is one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common

from her_exp.config.arguments import parse, run
from her_exp.evaluate import evaluate_run
from her_exp.store.trust import packages
from her_exp.training.evaluation import describe, wilson_interval
from her_exp.types import UserError

DEFAULTS: dict[str, Any] = {
    "run": None, "backends": "envpool,sync", "episodes": 500, "seed": 0,
    "checkpoint": "last", "trust": "",
}  # fmt: skip
#: Exit status of each verdict.
STATUS = {"the same": 0, "DIFFERENT": 1, "cannot tell": 3}
WIDEST = 0.2  #: interval of a difference that still says something


def difference(first: int, n: int, second: int, m: int) -> tuple[float, float]:
    """Return the 95 % interval of first/n - second/m, independent samples (Newcombe 1998, method 10)."""
    p, q = first / n, second / m
    (p_low, p_high), (q_low, q_high) = wilson_interval(first, n), wilson_interval(second, m)
    low = p - q - math.hypot(p - p_low, q_high - q)
    return low, p - q + math.hypot(p_high - p, q - q_low)


def verdict(first: int, second: int, n: int) -> str:
    """Return the same, DIFFERENT or cannot tell for so many successes of n on each side."""
    low, high = difference(first, n, second, n)
    if not low <= 0 <= high:
        return "DIFFERENT"
    informative = high - low <= WIDEST and 0 < first + second < 2 * n
    return "the same" if informative else "cannot tell"


def command(argv: Sequence[str]) -> int:
    """Evaluate on both backends and compare; returns the exit status."""
    options = parse(argv, DEFAULTS)
    if options["run"] is None:
        raise UserError("run is not set; give run=outputs/...")
    n, backends = options["episodes"], options["backends"].strip("[]").split(",")
    if n < 1:
        raise UserError(f"episodes={n}: give 1 or more")
    if len(backends) != 2:
        raise UserError(f"backends={options['backends']}: give two, e.g. backends=envpool,sync")
    wins = []
    for backend in backends:
        summary = evaluate_run(
            Path(options["run"]),
            n,
            options["seed"],
            options["checkpoint"],
            packages(options["trust"]),
            backend,
        )
        wins.append(round(summary["success_final"] * n))
        print(f"{backend}: {describe(summary)}", flush=True)
    low, high = difference(wins[0], n, wins[1], n)
    says = verdict(*wins, n)
    print(
        f"{says}: {backends[0]} minus {backends[1]} is "
        f"{(wins[0] - wins[1]) / n:+.1%} (95 % interval {low:+.1%} to {high:+.1%}, n={n} each)"
    )
    common.last_line(
        backends=backends,
        seed=options["seed"],
        wins=wins,
        episodes=n,
        interval=[low, high],
        verdict=says,
    )
    return STATUS[says]


if __name__ == "__main__":
    run(command, __doc__)
