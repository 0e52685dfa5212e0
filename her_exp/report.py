"""What did my runs show? Tables, figures and pictures of many runs on one page.

python -m her_exp.report runs=outputs/sweeps/mine

  runs=FOLDER       a sweep, a run, or any folder above runs; a glob; or a list of these: runs=[a,b];
                    the folders alone will do
  out=FOLDER        where the page goes; default: the folder report in the first of `runs`

Runs that differ in their seed only are one group. What is printed: a line for each group, what became of
the runs, and last the path of the page. What is written: index.html (opens anywhere, without a
network, and holds the rest), its figures as PNG, its tables as CSV, and beside the folder, under
aggregate/, each group's curve for TensorBoard. What the numbers mean: docs/report.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from her_exp.config.arguments import parse, run
from her_exp.text import tell
from her_exp.types import UserError

DEFAULTS: dict[str, Any] = {"runs": None, "out": None}
#: Stands in a folder that reports are written into: what it holds may be overwritten.
_MARK = ".her_exp_report"


def report(runs: str, out: Path | None = None) -> Path:
    """Write the report on `runs` and return the path of its page; see `make`."""
    return make(runs, out)[0]


def make(runs: str, out: Path | None = None) -> tuple[Path, list[str]]:
    """Write the report on `runs`; returns the path of its page, and the page in a few lines.

    Args:
        runs: a folder, a glob, or a list of them in brackets.
        out: the report's folder, made if it does not exist.

    Raises:
        UserError: no run is found, a package is missing, or the report cannot be written.
    """
    from her_exp.store.files import check_plain
    from her_exp.store.find import find, home, targets

    folders = find(runs)
    missing = [name for name in ("plotly", "matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"a report needs {' and '.join(missing)}, not installed; pip install 'her_exp[report]'"
        )
    from her_exp.reporting.runs import read
    from her_exp.reporting.write import damage, write

    target = out or home(targets(runs)[0]) / "report"
    found = [read(path) for path in tqdm(folders, unit="run", disable=None, leave=False)]
    try:
        beside = [path for path in (target, target.parent / "aggregate") if os.path.lexists(path)]
        named = (
            beside if out is None else beside[beside[:1] == [target] :]
        )  # a link of the user's own
        check_plain(target.parent, [*named, *(one for path in beside for one in path.rglob("*"))])
        target.mkdir(parents=True, exist_ok=True)
        if not (target / _MARK).exists():
            if any(target.iterdir()):
                raise UserError(f"out={target}: holds other files; give a new or an empty folder")
            (target / _MARK).touch()
        lines = write(found, target, runs)
    except OSError as error:
        raise UserError(f"out={target}: cannot be written ({error.strerror or error})") from error
    for line in damage(found):
        tell(f"her_exp: warning: {line}", sys.stderr)
    return target / "index.html", lines


def command(argv: Sequence[str]) -> int:
    """Report as the arguments say; returns the exit code."""
    options = parse(argv, DEFAULTS, folder="runs")
    if not options["runs"]:
        raise UserError("runs is not set; give a folder, e.g. runs=outputs")
    page, lines = make(options["runs"], Path(options["out"]) if options["out"] else None)
    for line in lines:
        tell(line)
    print(page)  # last: `| tail -1`
    return 0


def main() -> None:
    """Entry point of `her-report`."""
    run(command, __doc__ or "")


if __name__ == "__main__":
    main()
