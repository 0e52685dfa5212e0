"""Trains an agent: configuration to objects to `Trainer.fit()` to one number.

python -m her_exp.train                          # the default experiment
python -m her_exp.train buffer.k=8 seed=3        # with other settings
python -m her_exp.train -m buffer.k=0,4,8        # a sweep
python -m her_exp.train --help                   # all settings
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from her_exp import CONF_DIR
from her_exp.config.hydra_api import CONFIG_NAME, plain, texts, without_hydra
from her_exp.config.slips import flags, refuse_slips
from her_exp.config.validate import NAMES
from her_exp.run import WORDS, Request, log_to, request, rerun, resume, train
from her_exp.store.files import load_json
from her_exp.store.find import check_run, named, without_key
from her_exp.store.folder import STORY, has_checkpoint, overrides_of, start_over, status_of
from her_exp.store.trust import packages_of
from her_exp.sweeps import jobs as sweep
from her_exp.sweeps.command_line import Plan, preflight
from her_exp.system.foreign import reason_of, trace_of
from her_exp.system.launchers import has_place, launcher_of, take_place
from her_exp.system.signals import Stopped, await_signals, end_with_parent, passed_on_to_children
from her_exp.text import one_line, tell_error, written
from her_exp.types import UserError

log = logging.getLogger(__name__)


def main() -> None:
    """Check the command line, then run what it asks for: through Hydra, unless a run goes on."""
    threading.excepthook = _thread_failed
    if {"-h", "--help", "--cfg", "-c", "--info"} & set(sys.argv[1:]):
        # `... --help | head` closes the pipe early: end quietly. A run must not end so.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        check_surroundings(sys.argv[1:])
        refuse_slips(
            sys.argv[1:],
            (*NAMES, *WORDS),
            lambda words: request(words) or preflight(words),
            flags=flags(),
            folder=without_key,
        )
        asked = request(sys.argv[1:])
        argv = carry_out(asked) if asked is not None else sys.argv[1:]
        if argv is None:
            return
        plan = preflight(argv)
    except (
        UserError,
        OSError,
    ) as error:  # OSError: a name that is too long, a folder that is a file
        _exit(str(error).splitlines(), 2)
    except KeyboardInterrupt:
        _exit(["interrupted"], 130)
    sys.argv[1:] = plan.argv
    if plan.sweep_dir is None:
        sys.exit(_run_hydra(plan))
    try:
        held = sweep.hold(plan.sweep_dir, plan.joins)
    except UserError as error:
        _exit([str(error)], 2)
    with held:
        seen = len(sweep.notes(plan.sweep_dir))
        _report(plan, plan.sweep_dir, seen, _run_hydra(plan))


def _run_hydra(plan: Plan) -> str | int | None:
    """Let Hydra run what was planned; returns the exit status."""
    os.environ.update(plan.environment)
    if plan.sweep_dir is not None:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # what a launcher raises comes here
    pool = launcher_of({"_target_": plan.launcher}).pool
    try:
        with passed_on_to_children() if pool else nullcontext():
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=CONFIG_NAME)(
                job
            )()
    except SystemExit as stop:
        return stop.code
    except KeyboardInterrupt:
        print("her_exp: error: interrupted", file=sys.stderr)
        return 130
    except Stopped as stop:  # in a worker
        return stop.code
    except (UserError, OSError) as error:  # OSError: a cluster that does not answer, a full disk
        if plan.sweep_dir is None:
            raise
        print(f"her_exp: error: {one_line(str(error))}", file=sys.stderr)
        return 1
    except Exception as error:
        if plan.sweep_dir is None:
            raise
        if type(error).__name__ == "TerminatedWorkerError":  # joblib's
            print("her_exp: error: a worker was killed (out of memory?)", file=sys.stderr)
            return 1
        print(f"{trace_of(error)}\nher_exp: error: {reason_of(error)}", file=sys.stderr)
        return 1
    return 0


def _report(plan: Plan, folder: Path, seen: int, status: str | int | None) -> None:
    """Show what became of the jobs of a sweep; exits with 1 if one of them is not done."""
    news = sweep.latest(sweep.notes(plan.sweep_dir)[seen:])
    news += sweep.silent(folder, news)
    if plan.joins and status == 0:  # others may work on it: what they ran is theirs to tell
        news = [note for note in news if Path(note.folder).name in sweep.launched]
    for line in sweep.table(news, plan.jobs):
        print(line, file=sys.stderr)
    failed = [note for note in news if note.what == "failed"]
    if failed:
        lines = [f"{note.folder}: {note.line}" for note in failed]
        _exit([*lines, f"{len(failed)} of the sweep's jobs failed, see its run.log"], 1)
    if status == 0 and (len(news) < plan.jobs or not all(note.is_done for note in news)):
        _exit(["not all jobs are done; the same command goes on"], 1)
    if status == 0:
        print(folder)
    elif isinstance(status, int) and status > 128:
        print("her_exp: stopped; the same command goes on", file=sys.stderr)
    sys.exit(status)


def carry_out(asked: Request) -> list[str] | None:
    """Go on with a run or run one again; where `resume=auto` has to start it, return the words for that.

    Raises:
        UserError: the folder is no run, or what is asked of it cannot be.
    """
    if asked.rerun is not None:
        cfg, folder = rerun(
            named("rerun", asked.rerun), asked.overrides, asked.trust, asked.run_dir
        )
        try:
            log_to(folder)
        except UserError as error:
            raise UserError(f"{error}; give another run_dir=FOLDER") from error
        _end(folder, lambda: train(cfg, folder, asked.overrides))
        return None
    folder = Path(asked.run_dir) if asked.run_dir else named("resume", asked.resume or "")
    if os.path.exists(folder) and not folder.is_dir():
        raise UserError(
            f"{'run_dir' if asked.run_dir else 'resume'}={folder}: a file, no run folder"
        )
    status = status_of(folder)
    if asked.resume == "auto" and status != "done" and not has_checkpoint(folder):
        if status is not None:
            start_over(folder)
        if "${" in str(folder):
            raise UserError(f"run_dir={folder}: Hydra resolves ${{...}}; give another name")
        return [*asked.overrides, f"hydra.run.dir={written(str(folder))}"]
    words = [word for word in asked.overrides if not word.startswith("-")]
    if asked.resume == "auto":  # repeats what the run began with, whatever was changed since
        try:
            load_json(folder, STORY)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{folder / STORY}: cannot be read ({error}); it tells what the run began with; go on with "
                + shlex.quote(f"resume={folder}")
            ) from error
        began = overrides_of(folder)
        words = [word for word in words if word not in began]
        if not words and status == "done":
            print(folder)
            return None
    check_run("resume", folder)
    log_to(None)
    _end(folder, lambda: resume(folder, words, asked.trust, lambda: log_to(folder)))
    return None


def _end(folder: Path, run: Callable[[], float]) -> None:
    """Run to the end; a stop on a signal and a failure of the run become exit codes."""
    try:
        run()
    except Stopped as stop:
        log.warning("%s; go on with %s", stop, shlex.quote(f"resume={folder}"))
        sys.exit(stop.code)
    except (UserError, OSError) as error:  # OSError: the disk is full, or not to be written to
        log.error("her_exp: error: %s", one_line(str(error)))
        sys.exit(1)
    except Exception as error:  # of an env, an agent or ourselves: its traceback is part of the log
        log.error("%s", trace_of(error))
        log.error("her_exp: error: %s", reason_of(error))
        sys.exit(1)
    print(folder, flush=True)


def check_surroundings(argv: Sequence[str]) -> None:
    """Raise UserError where nothing could be written: the current folder is gone, a name is no text."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UserError("the current folder was deleted; cd to one that is there") from error
    for word in argv:
        if not word.isascii() and word != word.encode(errors="replace").decode():
            raise UserError(f"{word}: is not UTF-8; give names in UTF-8")


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Say in one line that TensorBoard's writer met a full disk; anything else as usual."""
    if isinstance(failure.exc_value, OSError):
        log.warning("TensorBoard: %s", one_line(str(failure.exc_value)))
    else:
        threading.__excepthook__(failure)


def _exit(lines: Sequence[str], status: int) -> NoReturn:
    for line in lines:
        tell_error(line)
    sys.exit(status)


def job(cfg: DictConfig) -> float:
    """Run one job under Hydra, in whatever process its launcher chose."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    overrides = texts(settings.overrides.task)
    if settings.mode == RunMode.MULTIRUN:
        _join_others(cfg, settings)
        same = settings.job.config.override_dirname.exclude_keys
        swept = [word for word in overrides if word.partition("=")[0].lstrip("+~") not in same]
        tells = settings.job.num == 0 or any(word.startswith("env") for word in swept)
        beside = not launcher_of(plain(settings.launcher)).in_turn
        sweep.label_lines(folder.name, tells, beside)
        trust = packages_of(plain(without_hydra(cfg)))
        return sweep.run_job(folder, cfg, lambda: train(cfg, folder, overrides, swept), trust)
    _end(folder, lambda: train(cfg, folder, overrides))
    return 0.0


def _join_others(cfg: DictConfig, settings: Any) -> None:
    """Make room for the jobs beside this one: wait for a place, draw no progress bar."""
    node = plain(settings.launcher)
    launcher = launcher_of(node)
    if launcher.in_turn:
        return
    if cfg.trainer.get("progress", True) is None:
        cfg.trainer.progress = False
    places = launcher.at_once(node)
    if launcher.pool and not has_place():
        await_signals()
        end_with_parent()
    if places is not None:
        take_place(Path(settings.runtime.cwd, settings.sweep.dir, ".places"), places)


if __name__ == "__main__":
    # Under its own name the job can be pickled for the processes of a launcher.
    from her_exp.train import main as run

    run()
