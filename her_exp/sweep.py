"""The jobs of a sweep: done ones are skipped, stopped ones go on, failed ones are tried again."""

from __future__ import annotations

import json
import logging
import math
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig

from her_exp.hints import one_line, reason_of
from her_exp.preflight import BASIC_SWEEPER
from her_exp.resume import has_checkpoint, resume, start_over, status_of
from her_exp.signals import Stopped
from her_exp.types import UserError

log = logging.getLogger(__name__)

#: In a sweep's folder: a line for each job that ended, written by the job's own process.
NOTES = "jobs.jsonl"


class Note(NamedTuple):
    """What became of a job: `what` is done, skipped, resumed, stopped or failed."""

    what: str
    folder: str
    line: str


def run_job(folder: Path, start: Callable[[], float], trust: Sequence[str] = ()) -> float:
    """Run a sweep's job in its folder, or what is left of it; returns its success rate.

    `trust` holds the packages that the job's own command names.

    The folder's name holds the hash of the job's config, so what is in it is the same experiment.
    A failure is noted and does not stop the other jobs.
    """
    try:
        if status_of(folder) == "done":
            success = success_of(folder)
            _note("skipped", folder, f"done before, success {success:.1%}")
            return success
        if has_checkpoint(folder):
            success, what = resume(folder, trust=trust), "resumed"
        else:
            if status_of(folder) is not None:
                start_over(folder)
            success, what = start(), "done"
    except Stopped as stop:
        _note("stopped", folder, str(stop))
        raise SystemExit(stop.code) from stop
    except UserError as error:
        log.error("her_exp: error: %s", one_line(str(error)))
        return _failed(folder, error, one_line(str(error)))
    except Exception as error:
        log.error("%s", traceback.format_exc().rstrip())
        return _failed(folder, error, reason_of(error))
    _note(what, folder, f"success {success:.1%}")
    print(folder, flush=True)
    return success


def success_of(folder: Path) -> float:
    """Return the final success rate in a run folder's `result.json`."""
    return float(json.loads((folder / "result.json").read_text())["eval"]["success_final"])


def _failed(folder: Path, error: Exception, line: str) -> float:
    _note("failed", folder, line)
    if HydraConfig.get().sweeper._target_ != BASIC_SWEEPER:
        raise error  # an optimising sweeper must know that there is no result
    return math.nan


def _note(what: str, folder: Path, line: str) -> None:
    settings = HydraConfig.get()
    path = Path(settings.runtime.cwd, settings.sweep.dir, NOTES)
    with path.open("a") as file:  # one short write: lines of parallel jobs do not mix
        file.write(json.dumps(Note(what, str(folder), line)) + "\n")


def notes(sweep_dir: Path | None) -> list[Note]:
    """Return what became of the jobs of a sweep, in the order in which they ended."""
    path = sweep_dir / NOTES if sweep_dir else None
    if path is None or not path.exists():
        return []
    return [Note(*json.loads(line)) for line in path.read_text().splitlines()]


def table(news: Sequence[Note]) -> list[str]:
    """Return a table of jobs for people, a failed one with its reason and its log."""
    width = max((len(Path(note.folder).name) for note in news), default=0)
    lines = []
    for note in news:
        log_file = f"  ({note.folder}/run.log)" if note.what == "failed" else ""
        lines.append(f"{note.what:8}{Path(note.folder).name:{width}}  {note.line}{log_file}")
    kinds = sorted({note.what for note in news})
    lines.append(", ".join(f"{sum(n.what == kind for n in news)} {kind}" for kind in kinds))
    return lines
