"""The jobs of a sweep: done ones are skipped, stopped ones go on, failed ones are tried again."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from her_exp.run import resume
from her_exp.store.files import open_file
from her_exp.store.folder import (
    LOCK,
    Taken,
    check_same,
    has_checkpoint,
    start_over,
    status_of,
    success_of,
)
from her_exp.sweeps.plan import BASIC_SWEEPER, OPTUNA
from her_exp.system.foreign import reason_of, trace_of
from her_exp.system.launchers import BATCHED, LAUNCHERS, Launcher, launcher_of
from her_exp.system.locks import take_lock
from her_exp.system.signals import Stopped, hand_on, stop_if_asked_early
from her_exp.text import one_line, printable
from her_exp.types import UserError

log = logging.getLogger(__name__)

#: In a sweep's folder: a line for each job that ended, written by the job's own process.
NOTES = "jobs.jsonl"

#: A node that died may leave a process that still writes for a moment after its job began again.
_WAIT_SECONDS = 60

#: Who tells how a run begins: whose functions judge, how much memory is taken.
_BEGIN = ("her_exp.training.build", "her_exp.buffers.recorder")

_ELSEWHERE = "another process is at it"

#: The names of the folders of the jobs that a search launched in this command; others may work on it.
launched: set[str] = set()

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


def run_job(
    folder: Path, cfg: DictConfig, start: Callable[[], float], trust: Sequence[str] = ()
) -> float:
    """Run a sweep's job in its folder, or what is left of it; returns its success rate.

    A failure is noted and does not stop the other jobs; the job then returns NaN, and so does one that
    another process is at.

    Args:
        folder: the job's own.
        cfg: its config; what the folder holds must be of the same.
        start: runs it from the beginning.
        trust: packages that the job's own command names.
    """
    global _stopped
    launcher = launcher_of({"_target_": HydraConfig.get().launcher._target_})
    if _stopped is not None:
        raise _stopped
    try:
        stop_if_asked_early()
        success, what = _what_is_left(folder, cfg, start, trust, _patience(launcher))
    except Stopped as stop:
        _note("stopped", folder, str(stop))
        if launcher.pool:  # as a result: an end of the process would take the others with it
            _stopped = stop
            raise
        hand_on(stop)
        raise SystemExit(stop.code) from stop
    except Taken:
        _note("running", folder, _ELSEWHERE)
        return math.nan
    except UserError as error:
        log.error("her_exp: error: %s", one_line(str(error)))
        return _failed(folder, error, one_line(str(error)))
    except Exception as error:
        log.error("%s", trace_of(error))
        return _failed(folder, error, reason_of(error))
    skipped = what == "skipped"
    _note(what, folder, f"{'done before, ' * skipped}success {success:.1%}")
    if not skipped:
        print(folder, flush=True)
    return success


def _patience(launcher: Launcher) -> float:
    """Return for how many seconds a job waits for another process that is at it.

    A search by several commands may draw the same trial twice: the second waits for the first one's result.
    (Not where jobs take turns in one program, each of which would wait with it.)
    """
    searches = HydraConfig.get().sweeper._target_ == OPTUNA and launcher != LAUNCHERS[BATCHED]
    return math.inf if searches else 0.0 if launcher.in_turn else _WAIT_SECONDS


def _what_is_left(
    folder: Path, cfg: DictConfig, start: Callable[[], float], trust: Sequence[str], patience: float
) -> tuple[float, str]:
    """Do what is left of a job; returns its success and what became of it."""
    while True:
        _wait_until_free(folder, patience)
        check_same(folder, cfg)
        if status_of(folder) == "done":
            return success_of(folder), "skipped"
        try:
            if has_checkpoint(folder):
                return resume(folder, trust=trust), "resumed"
            if status_of(folder) is not None:
                start_over(folder)
            return start(), "done"
        except Taken:
            if patience < math.inf:
                raise
            time.sleep(0.2)


def label_lines(name: str, first: bool, beside: bool) -> None:
    """Say on the terminal which job a line is of; how a run begins is told there by the first job alone.

    Each job's own log holds all of its lines.

    Args:
        name: of the job's folder.
        first: it is the first of the sweep, or its env may be another than that one's.
        beside: others run at the same time.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            continue
        if beside:
            handler.setFormatter(logging.Formatter(f"{name.rpartition('_')[0]}: %(message)s"))
        if not first:
            handler.addFilter(
                lambda record: record.name not in _BEGIN or record.levelno > logging.INFO
            )


def _failed(folder: Path, error: Exception, line: str) -> float:
    _note("failed", folder, line)
    if HydraConfig.get().sweeper._target_ not in (BASIC_SWEEPER, OPTUNA):
        raise error  # a sweeper that may not know that NaN is no result
    return math.nan


def _note(what: str, folder: Path, line: str) -> None:
    settings = HydraConfig.get()
    with open_file(Path(settings.runtime.cwd, settings.sweep.dir), NOTES, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # appending alone is not enough on a network's disk
        if size := file.seek(0, os.SEEK_END):
            file.seek(size - 1)
        half = size and file.read(1) != b"\n"  # what a full disk left of a line
        text = json.dumps(Note(what, str(folder), line)) + "\n"
        file.write(b"\n" * bool(half) + text.encode())


def _wait_until_free(folder: Path, seconds: float) -> None:
    """Wait while another process has the folder; one that goes on with it is left to the lock."""
    give_up = time.monotonic() + seconds
    while status_of(folder) == "running" and time.monotonic() < give_up:
        stop_if_asked_early()
        time.sleep(0.2)


def notes(sweep_dir: Path | None) -> list[Note]:
    """Return what became of the jobs of a sweep, in the order in which they ended."""
    if sweep_dir is None:
        return []
    try:
        with open_file(sweep_dir, NOTES, errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = [note for line in lines if (note := _read(line)) is not None]
    if damaged := len(lines) - len(found):
        log.warning("%s: %d damaged lines are left out", sweep_dir / NOTES, damaged)
    return found


def _read(line: str) -> Note | None:
    try:
        parts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    good = isinstance(parts, list) and len(parts) == 3 and all(isinstance(p, str) for p in parts)
    return Note(*map(printable, parts)) if good else None


def hold(sweep_dir: Path, joins: bool = False) -> IO[str]:
    """Take a sweep's folder for this process, or with all that join in; UserError where others have it."""
    try:
        sweep_dir.mkdir(parents=True, exist_ok=True)
        held = take_lock(sweep_dir / ".lock", shared=joins)
    except OSError as error:
        raise UserError(f"{sweep_dir}: cannot be written to ({error.strerror or error})") from error
    if held is None:
        raise UserError(
            f"{sweep_dir}: another process is running this sweep; wait for it, or give another sweep=NAME"
        )
    return held


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
    for path in sorted(sweep_dir.glob(f"*/{LOCK}")):
        folder = path.parent
        status = status_of(folder)
        if str(folder) not in known and status in (None, "killed"):
            found.append(Note("killed", str(folder), "the same command again goes on with it"))
        elif str(folder) not in known and status == "running":
            found.append(Note("running", str(folder), _ELSEWHERE))
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
