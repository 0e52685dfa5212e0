"""What the reproductions share: a grid of runs as named sweeps, judged on held-out goals, into a page.

A grid is run by `python -m her_exp.train -m sweep=NAME ...`, which skips what is done and goes on with
what was stopped; so does the script that asks for it. A run is known by its configuration's hash, so
that a changed setting never finds the runs of the old one.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from finished import HELD_OUT, Run
from plot_curves import plt

import her_exp
from her_exp.config.compose import Composer, composer
from her_exp.config.hydra_api import config_hash, without_hydra
from her_exp.evaluate import evaluate_run
from her_exp.store.files import write_json
from her_exp.types import UserError

ROOT = Path(__file__).resolve().parents[1]
PAGE = "reproductions.md"
#: Okabe and Ito's colours, told apart by everyone.
BLUE, ORANGE, GREEN, PURPLE, SKY, RED = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00",
)  # fmt: skip
GREY, BLACK = "#777777", "#000000"


class Sweep(NamedTuple):
    """All combinations of `axes` under `overrides`, each for every seed.

    `axes` maps a key to its values; a cell is named by one value of each, in order.
    """

    name: str
    overrides: list[str]
    axes: dict[str, list[Any]]

    def cells(self) -> dict[tuple[Any, ...], list[str]]:
        """Return the overrides of each cell."""
        return {
            values: [*self.overrides, *(f"{k}={v}" for k, v in zip(self.axes, values, strict=True))]
            for values in itertools.product(*self.axes.values())
        }

    def command(self, seeds: int, jobs: int) -> list[str]:
        """Return the words after `python` that run it."""
        side = ["hydra/launcher=local", f"hydra.launcher.n_jobs={jobs}"] if jobs > 1 else []
        axes = [f"{k}={','.join(map(str, v))}" for k, v in self.axes.items()]
        each = f"seed={','.join(map(str, range(seeds)))}"
        words = ["-m", "her_exp.train", "-m", f"sweep={self.name}", *side]
        return [*words, *self.overrides, *axes, each]


class Grid:
    """The sweeps of a script, run and read below the folder and for the seeds that were asked for.

    Args:
        sweeps: what belongs to the figure.
        args: of `arguments`.
        trust: packages of classes that are not ours.
    """

    def __init__(
        self, sweeps: Iterable[Sweep], args: argparse.Namespace, trust: Sequence[str] = ()
    ):
        self.args, self.trust = args, trust
        changed = {word.partition("=")[0] for word in args.set}
        self.sweeps = [
            s._replace(overrides=[o for o in s.overrides if o.partition("=")[0] not in changed] + args.set)
            for s in sweeps
        ]  # fmt: skip
        self.missing: list[str] = []

    def run(self) -> dict[tuple[Any, ...], list[Run]]:
        """Train what is missing, judge what is new; returns the runs of each cell, by sweep and values."""
        runs: dict[tuple[Any, ...], list[Run]] = {}
        with composer() as hydra:
            for sweep in self.sweeps:
                folders = self._folders(sweep, hydra)
                if any(_done(folder) is None for cell in folders.values() for folder in cell):
                    self._train(sweep)
                for values, cell in folders.items():
                    done = [folder for folder in map(_done, cell) if folder]
                    if len(done) < len(cell):
                        self.missing.append(f"{sweep.name} {values}: {len(cell) - len(done)} runs")
                    if done:
                        runs[sweep.name, *values] = [self._judged(folder) for folder in done]
        if not runs:
            raise UserError(f"no run ended well; see {self.args.out}/outputs/sweeps/*/*/run.log")
        return runs

    def _folders(self, sweep: Sweep, hydra: Composer) -> dict[tuple[Any, ...], list[str]]:
        """Return what finds the folder of each run of each cell: a folder ends in its config's hash."""
        top = self.args.out / "outputs" / "sweeps" / sweep.name

        def pattern(overrides: list[str]) -> str:
            return f"{top}/*_{config_hash(without_hydra(hydra.job(overrides)))[:6]}"

        return {
            values: [pattern([*overrides, f"seed={seed}"]) for seed in range(self.args.seeds)]
            for values, overrides in sweep.cells().items()
        }

    def _train(self, sweep: Sweep) -> None:
        words = sweep.command(self.args.seeds, self.args.jobs)
        print("python", shlex.join(words), flush=True)
        # The doubles, and the package that this process itself reads: hashes must agree.
        ours = [str(Path(__file__).parent), str(Path(her_exp.__file__).parents[1])]
        path = os.pathsep.join([*ours, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.args.out.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, *words], cwd=self.args.out, env=os.environ | {"PYTHONPATH": path},
            check=False,
        )  # fmt: skip
        if done.returncode not in (0, 1):  # 1: some failed, and are told as missing
            raise UserError(f"sweep={sweep.name} was stopped; the same command goes on")

    def _judged(self, folder: Path) -> Run:
        """Read a run; its last policy is judged once."""
        result = json.loads((folder / "result.json").read_text())
        asked = {"episodes": self.args.episodes, "env_steps": result["env_steps"]}
        path = folder / HELD_OUT
        told = json.loads(path.read_text()) if path.exists() else {}
        if any(told.get(key) != value for key, value in asked.items()):
            told = asked | evaluate_run(folder, self.args.episodes, trust=self.trust)
            write_json(path.parent, path.name, told)
        return Run.read(folder)

    def about(self, runs: Iterable[Run], commands: bool = True) -> str:
        """Return what was run, where, what it took, and by which commands: some paragraphs of the page."""
        runs = list(runs)
        told = [run.story for run in runs]
        commits = sorted({str(s["git_commit"])[:9] + "+" * s["git_changed"] for s in told})
        machines = sorted(
            {f"{s['machine']['processor']}, {s['machine']['cores']} cores" for s in told}
        )
        torches = sorted({s["versions"]["torch"] for s in told})
        minutes = sum(run.result["train_seconds"] for run in runs) / 60
        lines = [
            f"{len(runs)} runs, seeds 0 to {self.args.seeds - 1}, one thread each: {minutes:.0f} minutes "
            f"of training in all, on {'; '.join(machines)}, torch {', '.join(torches)}, commit "
            f"{', '.join(commits)}. Success: the last policy on {self.args.episodes} goals that training "
            "never saw.",
            *(f"**Missing**: {line}" for line in self.missing),
            *(["\n".join(f"    {self._shown(sweep)}" for sweep in self.sweeps)] if commands else []),
        ]  # fmt: skip
        return "\n\n".join(lines)

    def _shown(self, sweep: Sweep) -> str:
        """Return the command line of a sweep, to be typed at the top of the project."""
        words = sweep.command(self.args.seeds, self.args.jobs)
        doubles = any("faulty." in word for word in words)  # they lie beside this file
        return ("PYTHONPATH=scripts " if doubles else "") + shlex.join(["python", *words])


def _done(pattern: str) -> Path | None:
    """Return the folder of a finished run."""
    head, _, name = pattern.rpartition("/")
    for folder in Path(head).glob(name):
        path = folder / "result.json"
        if path.exists() and json.loads(path.read_text())["status"] == "done":
            return folder
    return None


# -- the page --------------------------------------------------------------------------------------


def arguments(doc: str, choices: Sequence[str], seeds: int) -> argparse.Namespace:
    """Read the command line that all reproductions share."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=choices, default=list(choices), metavar="CELL",
                        help=f"of {', '.join(choices)}")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=seeds, help=f"0 .. N-1 (default {seeds})")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--episodes", type=int, default=200, help="held-out episodes a run")
    parser.add_argument("--out", type=Path, default=ROOT, help="outputs/ lies or is made here")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="page and pictures")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE",
                        help="settings for a trial, in place of the figure's; needs --docs")  # fmt: skip
    args = parser.parse_args()
    for key in ("seeds", "jobs", "episodes"):
        if getattr(args, key) < 1:
            parser.error(f"--{key} {getattr(args, key)}: give 1 or more")
    if args.set and args.docs.resolve() == ROOT / "docs":
        parser.error("--set is for trials: give another folder for page and pictures by --docs")
    args.out = args.out.resolve()
    return args


def write_page(
    docs: Path, name: str, text: str, rows: Sequence[Sequence[Any]], figure: Any, page: str = PAGE
) -> None:
    """Write `name`.png and `name`.csv, and `text` into its place of a page; prints what was written."""
    docs.mkdir(parents=True, exist_ok=True)
    figure.savefig(docs / f"{name}.png", dpi=110)
    plt.close(figure)
    with (docs / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    text += f"\n\nEvery cell, with each seed: [{name}.csv]({name}.csv)."
    path = docs / page
    begin, end = f"<!-- {name}: written by its script -->\n", f"<!-- /{name} -->"
    old = (path if path.exists() else ROOT / "docs" / page).read_text()
    head, _, rest = old.partition(begin)
    _, _, tail = rest.partition(end)
    path.write_text(f"{head}{begin}\n{text}\n\n{end}{tail}")
    print(f"{text}\n\n{path}\n{docs / name}.png\n{docs / name}.csv")


def tidy(axes: Any) -> Any:
    """Give axes the house's looks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return axes


def lines(rows: Sequence[Sequence[Any]]) -> str:
    """Return a table in Markdown, its head first."""
    head, *rest = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])


def run(main: Callable[[], list[str]]) -> None:
    """Call a script's `main`, which returns what is missing; what the user can mend is one line."""
    try:
        lines, status = [f"missing: {line}" for line in main()], 1
    except UserError as error:
        lines, status = str(error).splitlines(), 2
    for line in lines:
        print(f"her_exp: error: {line}", file=sys.stderr)
    sys.exit(status if lines else 0)
