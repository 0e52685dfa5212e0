"""The jobs of a sweep: done ones are skipped, stopped ones go on, failed ones are tried again."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig

from her_exp.run import has_checkpoint, resume, start_over, status_of
from her_exp.store.folder import lock
from her_exp.sweeps.plan import BASIC_LAUNCHER, BASIC_SWEEPER, OPTUNA
from her_exp.system.foreign import reason_of, trace_of
from her_exp.system.launchers import JOBLIB
from her_exp.system.signals import Stopped, hand_on
from her_exp.text import one_line
from her_exp.types import UserError

log = logging.getLogger(__name__)

#: In a sweep's folder: a line for each job that ended, written by the job's own process.
NOTES = "jobs.jsonl"

#: A node that died may leave a process that still writes for a moment after its job began again.
_WAIT_SECONDS = 60

_stopped: Stopped | None = None  # this process was asked to stop: its next jobs do not begin


class Note(NamedTuple):
    """What became of a job: `what` is done, skipped, resumed, stopped or failed.

    Of a job that left no word it is killed, or running (elsewhere, still).
    """

    what: str
    folder: str
    line: str

    @property
    def is_done(self) -> bool:
        """Say whether the job needs no other run."""
        return self.what in ("done", "skipped", "resumed")


def run_job(folder: Path, start: Callable[[], float], trust: Sequence[str] = ()) -> float:
    """Run a sweep's job in its folder, or what is left of it; returns its success rate.

    `trust` holds the packages that the job's own command names.

    The folder's name holds the hash of the job's config, so what is in it is the same experiment.
    A failure is noted and does not stop the other jobs; the job then returns NaN.
    """
    global _stopped
    launcher = HydraConfig.get().launcher._target_
    if _stopped is not None:
        raise _stopped
    try:
        if launcher != BASIC_LAUNCHER:
            _wait_until_free(folder)
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
        if launcher == JOBLIB:  # as a result: an end of the process would take the others with it
            _stopped = stop
            raise
        hand_on(stop)
        raise SystemExit(stop.code) from stop
    except UserError as error:
        log.error("her_exp: error: %s", one_line(str(error)))
        return _failed(folder, error, one_line(str(error)))
    except Exception as error:
        log.error("%s", trace_of(error))
        return _failed(folder, error, reason_of(error))
    _note(what, folder, f"success {success:.1%}")
    print(folder, flush=True)
    return success


def success_of(folder: Path) -> float:
    """Return the final success rate in a run folder's `result.json`."""
    return float(json.loads((folder / "result.json").read_text())["eval"]["success_final"])


def _failed(folder: Path, error: Exception, line: str) -> float:
    _note("failed", folder, line)
    if HydraConfig.get().sweeper._target_ not in (BASIC_SWEEPER, OPTUNA):
        raise error  # a sweeper that may not know that NaN is no result
    return math.nan


def _note(what: str, folder: Path, line: str) -> None:
    settings = HydraConfig.get()
    path = Path(settings.runtime.cwd, settings.sweep.dir, NOTES)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # appending alone is not enough on a network's disk
        file.write(json.dumps(Note(what, str(folder), line)) + "\n")


def _wait_until_free(folder: Path) -> None:
    """Wait while another process has the folder; one that goes on with it is left to the lock."""
    give_up = time.monotonic() + _WAIT_SECONDS
    while (folder / "run.lock").exists() and time.monotonic() < give_up:
        try:
            return lock(folder).close()
        except UserError:
            time.sleep(0.2)


def notes(sweep_dir: Path | None) -> list[Note]:
    """Return what became of the jobs of a sweep, in the order in which they ended."""
    path = sweep_dir / NOTES if sweep_dir else None
    if path is None or not path.exists():
        return []
    return [Note(*json.loads(line)) for line in path.read_text().splitlines()]


def latest(news: Sequence[Note]) -> list[Note]:
    """Return the last note of each job: one that was stopped on a cluster may have gone on since.

    One that ended although its cluster had given it up, and so was found done, is done.
    """
    last: dict[str, Note] = {}
    for note in news:
        if not (note.what == "skipped" and note.folder in last):
            last[note.folder] = note
    return list(last.values())


def silent(sweep_dir: Path, news: Sequence[Note]) -> list[Note]:
    """Return a note on each job that began and left no word: its process was killed, or still runs."""
    known = {note.folder for note in news}
    found = []
    for path in sorted(sweep_dir.glob("*/run.lock")):
        folder = path.parent
        if str(folder) not in known and status_of(folder) in (None, "running"):
            try:
                lock(folder).close()
                found.append(Note("killed", str(folder), "the same command again goes on with it"))
            except UserError:
                found.append(Note("running", str(folder), "another process is at it"))
    return found


def table(news: Sequence[Note], jobs: int = 0) -> list[str]:
    """Return a table of jobs for people, a failed one with its reason and its log.

    Of `jobs` those not in it did not begin.
    """
    width = max((len(Path(note.folder).name) for note in news), default=0)
    lines = []
    for note in news:
        log_file = f"  ({note.folder}/run.log)" if note.what == "failed" else ""
        lines.append(f"{note.what:8}{Path(note.folder).name:{width}}  {note.line}{log_file}")
    kinds = sorted({note.what for note in news})
    counts = [f"{sum(n.what == kind for n in news)} {kind}" for kind in kinds]
    counts += [f"{jobs - len(news)} not begun"] if len(news) < jobs else []
    return [*lines, ", ".join(counts)] if counts else []
