"""What did my runs show? Tables, figures and pictures of many runs on one page.

python -m her_exp.report runs=outputs/sweeps/mine

  runs=FOLDER       a sweep, a run, or any folder above runs; a glob; or a list of these: runs=[a,b]
  out=FOLDER        where the page goes; default: the folder report in the first of `runs`

Runs that differ in their seed only are one group. What is written: index.html (opens anywhere, without a
network), its figures as PNG, its tables as CSV, and beside the folder, under aggregate/, each
group's curve for TensorBoard. What the numbers mean: docs/report.md.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from her_exp.arguments import parse, run
from her_exp.types import UserError

DEFAULTS: dict[str, Any] = {"runs": None, "out": None}


def report(runs: str, out: Path | None = None) -> Path:
    """Write the report on `runs` and return the path of its page.

    Args:
        runs: a folder, a glob, or a list of them in brackets.
        out: the report's folder, made if it does not exist.

    Raises:
        UserError: no run is found, or the report cannot be written.
    """
    from her_exp.reporting.find import find, home, targets
    from her_exp.reporting.runs import read

    folders = find(runs)
    target = out or home(targets(runs)[0]) / "report"
    found = [read(path) for path in tqdm(folders, unit="run", disable=None, leave=False)]
    try:
        target.mkdir(parents=True, exist_ok=True)
        return _write(found, target, runs)
    except OSError as error:
        raise UserError(f"out={target}: cannot be written ({error.strerror or error})") from error


def _write(found: Sequence[Any], target: Path, name: str) -> Path:
    from her_exp.reporting import draw, events, figures, page, runs, tables
    from her_exp.reporting.groups import group
    from her_exp.reporting.sections import Content

    groups = group(found)
    shown = figures.drawn(groups)
    pictures = [_picture(one) for one in shown]
    final = tables.final(groups)
    made = figures.all_figures(shown)
    settings, listed = tables.hyperparameters(groups), tables.listed(found, groups)
    tables.write(final, target / "final.csv")
    tables.write(settings, target / "hyperparameters.csv")
    tables.write(listed, target / "runs.csv")
    for figure in tqdm(made, unit="figure", disable=None, leave=False):
        draw.to_png(figure, target / f"{figure.name}.png")
        rows = tables.compared(figures.pairs(shown)) if figure.rows else tables.points(figure)
        tables.write(rows, target / f"{figure.name}.csv")
    events.write_aggregates(groups, target.parent / "aggregate")
    states = Counter(one.status for one in found)
    facts = [f"{len(groups)} group{'s' * (len(groups) != 1)}", f"{len(found)} runs: "
             + ", ".join(f"{n} {status}" for status, n in states.most_common()),
             time.strftime("%Y-%m-%d %H:%M")]  # fmt: skip
    content = Content(
        f"Report on {name}", facts, _notes(found, groups, shown), groups, shown, final, made, settings,
        pictures, listed, {str(one.folder): events.relative(one.folder, target) for one in found},
    )  # fmt: skip
    path = target / "index.html"
    temporary = path.with_name(f".index.{os.getpid()}.tmp")
    temporary.write_text(page.render(content), newline="")
    temporary.replace(path)
    for line in runs.problems(found):
        print(f"her_exp: warning: {line}", file=sys.stderr)
    return path


def _picture(group: Any) -> tuple[str, str, bytes | None]:
    """Return the picture of a group's first run that has one, those that count first."""
    from her_exp.reporting.events import last_picture

    for one in sorted(group.runs, key=lambda run: not run.counted)[:3]:
        if (image := last_picture(one)) is not None:
            return group.label, f"seed {one.seed}", image
    return group.label, "", None


def _notes(found: Sequence[Any], groups: Sequence[Any], shown: Sequence[Any]) -> list[str]:
    """Return what a reader must know before the numbers."""
    notes = [f"{one.folder.name}: {line}" for one in found for line in one.problems]
    left = [one for one in found if not one.counted]
    if left:
        notes.append(
            f"{len(left)} of {len(found)} runs are not part of any number (not done, damaged, or a seed "
            "that ran twice); they are listed below with the reason."
        )
    if len(shown) < len(groups):
        notes.append(f"Figures show the {len(shown)} best of {len(groups)} groups, the tables all.")
    for group in groups:
        commits = {run.story.get("git_commit") for run in group.counted}
        if len(commits) > 1:
            notes.append(f"{group.label}: its runs are of {len(commits)} versions of the code.")
    return notes


def command(argv: Sequence[str]) -> int:
    """Report as the arguments say; returns the exit code."""
    options = parse(argv, DEFAULTS)
    if not options["runs"]:
        raise UserError("runs is not set; give runs=outputs/sweeps/<name>")
    missing = [name for name in ("plotly", "matplotlib") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"a report needs {' and '.join(missing)}, not installed; pip install 'her_exp[report]'"
        )
    print(report(options["runs"], Path(options["out"]) if options["out"] else None))
    return 0


def main() -> None:
    """Entry point of `her-report`."""
    run(command, __doc__ or "")


if __name__ == "__main__":
    main()
