"""Does an experiment still reach its score? Trains it for some seeds and judges each last policy.

    python scripts/check_experiment.py fetch_reach seeds=0,1,2
    python scripts/check_experiment.py her_paper/push seeds=0 out=/tmp/push

  seeds=0,1,2      each is a run of the real command, one after the other
  episodes=200     held-out episodes of each
  out=FOLDER       keep the run folders there (default: a new folder under /tmp)
  config_dir=...   a folder with experiments of your own

Passes if every seed reaches `score.success_final`. Of an experiment whose file says `measured: no` nothing
is claimed: it is run, and the answer is `not measured`. Exit status: 0 pass, 1 fail, 3 not measured, 2 the
command is wrong or a training ended otherwise than done. The last line is one JSON object.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import common

from her_exp.config.arguments import parse, run
from her_exp.config.compose import composer
from her_exp.config.hydra_api import plain, without_hydra
from her_exp.evaluate import evaluate_run
from her_exp.store.trust import packages_of
from her_exp.training import evaluation
from her_exp.types import UserError

DEFAULTS: dict[str, Any] = {"seeds": "0,1,2", "episodes": 200, "out": "", "config_dir": ""}
#: Exit status of each verdict.
STATUS = {"pass": 0, "fail": 1, "not measured": 3}


def verdict(score: Mapping[str, Any] | None, success: Sequence[float]) -> str:
    """Return pass, fail or not measured for the success rates of the seeds."""
    if not score or not score.get("measured", True) or score.get("success_final") is None:
        return "not measured"
    return "pass" if min(success) >= score["success_final"] else "fail"


def read_seeds(text: str) -> list[int]:
    """Read `0,1,2`, with or without brackets."""
    words = text.strip("[]").split(",")
    if not all(word.strip().isdigit() for word in words):
        raise UserError(f"seeds={text}: give whole numbers, e.g. seeds=0,1,2")
    return [int(word) for word in words]


def command(argv: Sequence[str]) -> int:
    """Check the experiment that comes first; returns the exit status."""
    if not argv or "=" in argv[0]:
        raise UserError("which experiment? e.g. python scripts/check_experiment.py fetch_reach")
    name, options = argv[0], parse(argv[1:], DEFAULTS)
    seeds, episodes = read_seeds(options["seeds"]), options["episodes"]
    if episodes < 1:
        raise UserError(f"episodes={episodes}: give 1 or more")
    extra = [f"--config-dir={options['config_dir']}"] if options["config_dir"] else []
    with composer(extra_dir=options["config_dir"] or None) as hydra:
        values = plain(without_hydra(hydra.job([f"experiment={name}"])))
    # What the experiment names is trusted by whoever asks for it: it is about to be trained.
    score, trust = values.get("score"), packages_of(values)
    out = Path(options["out"] or tempfile.mkdtemp(prefix="her_exp_check_"))
    summaries = []
    for seed in seeds:
        folder = out / name / f"seed={seed}"
        if (folder / "config.yaml").exists():  # perhaps of other settings
            raise UserError(f"out={out}: {folder} holds a run already; give a new folder")
        try:
            common.train([*extra, f"experiment={name}"], seed, folder)
        except SystemExit as crash:  # its status would be that of a fail
            raise UserError(f"seed {seed}: training did not end well\n{crash}") from crash
        summaries.append(evaluate_run(folder, episodes, trust=trust))
        print(f"seed {seed}: {evaluation.describe(summaries[-1])}", flush=True)
    success = [summary["success_final"] for summary in summaries]
    rate, (low, high) = evaluation.pooled(summaries)
    says, asked = verdict(score, success), (score or {}).get("success_final")
    goal = "no score is known" if asked is None else f"each seed is to reach {asked:.1%}"
    print(
        f"{says}: {name}, success {rate:.1%} at the last step (95 % interval {low:.1%} to {high:.1%}, "
        f"n={episodes * len(seeds)}); {goal}"
    )
    common.last_line(
        experiment=name, verdict=says, asked=asked, seeds=seeds, success=success, pooled=rate,
        interval=[low, high], folder=str(out),
    )  # fmt: skip
    return STATUS[says]


if __name__ == "__main__":
    run(command, __doc__)
