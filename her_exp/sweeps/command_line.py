"""Checks a whole command line, every job of a sweep, before Hydra makes a folder."""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import her_exp.store.find  # noqa: F401 - has the resolver that names the jobs' folders
from her_exp.config.blame import blame_experiment, blame_sweep
from her_exp.config.compose import Composer, check_complete, composer
from her_exp.config.hydra_api import (
    CONFIG_NAME,
    config_hash,
    hydra_values,
    path_safe,
    plain,
    without_hydra,
)
from her_exp.config.overrides import given_twice
from her_exp.config.signatures import mismatch
from her_exp.config.validate import validate
from her_exp.store.files import check_plain
from her_exp.store.folder import check_free, check_same, judge, lock
from her_exp.sweeps import plan as sweep_plan
from her_exp.text import one_line
from her_exp.types import UserError

#: What a sweep, Hydra or Optuna writes into a sweep's own folder.
_OF_A_SWEEP = (
    "multirun.yaml", "jobs.jsonl", ".lock", ".places", ".submitit", "optimization_results.yaml",
    "optuna.db*", ".study.lock", ".trials",
)  # fmt: skip


_HASHED = re.compile(r"_[0-9a-f]{6}$")  # how the names of jobs' folders end


class Plan(NamedTuple):
    """What a checked command line means."""

    argv: list[str]  #: arguments for Hydra
    sweep_dir: Path | None = None  #: the folder of a sweep's jobs; None for one run
    jobs: int = 0  #: how many jobs a sweep has; 0 where its sweeper decides
    launcher: str | None = None  #: the class that launches the jobs of a sweep
    environment: Mapping[str, str] = MappingProxyType({})  #: what their processes inherit
    joins: bool = False  #: several commands may work on the sweep at once


def preflight(argv: Sequence[str]) -> Plan:
    """Compose and validate all that `argv` asks for; questions such as --help pass as they are.

    Raises:
        UserError: with one line for each problem; nothing was written.
    """
    if "--version" in argv:  # argparse would answer at once
        return Plan(list(argv))
    args = _parse(argv)
    asks = [args.cfg is not None, args.info is not None, args.shell_completion, args.multirun]
    if sum([*asks, args.run]) > 1:
        raise UserError("give only one of --run, --multirun, --cfg, --info, --shell-completion")
    if args.help or args.hydra_help or args.info is not None or args.shell_completion:
        return Plan(list(argv))
    with composer(args.config_name or CONFIG_NAME, args.config_dir) as hydra:
        if args.cfg is not None:
            cfg = hydra.raw(args.overrides)
            if args.resolve:
                check_complete(without_hydra(cfg), hydra)
            if args.resolve and args.cfg == "hydra":
                raise UserError("--cfg hydra --resolve lacks what it refers to; use --cfg all")
            return Plan(list(argv))
        return _check(args, argv, hydra)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse Hydra's flags; they may stand anywhere between the overrides."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{one_line(message)}; --help shows the flags")

    parser.error = refuse  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(argv)
    if args.resolve and args.cfg is None and not args.help:
        raise UserError("--resolve goes with --cfg or --help, e.g. --cfg job --resolve")
    if args.config_path is not None:
        raise UserError("--config-path: the root stays conf/; add a folder with --config-dir=...")
    if args.config_name and {"", ".", ".."} & set(args.config_name.split("/")):
        raise UserError(
            f"--config-name={args.config_name}: give a name, not a path; --config-dir=..."
        )
    if args.experimental_rerun is not None:
        raise UserError(
            "--experimental-rerun unpickles a stranger's file; give the run's own overrides, "
            "which stand in its .hydra/overrides.yaml"
        )
    return args


def _check(args: argparse.Namespace, argv: Sequence[str], hydra: Composer) -> Plan:
    flags = ["--multirun"] if args.multirun else []
    flags += ["--config-name", args.config_name] if args.config_name else []
    flags += ["--config-dir", args.config_dir] if args.config_dir else []
    overrides = list(args.overrides)
    twice = given_twice(overrides)
    try:
        master = hydra.raw(overrides, RunMode.MULTIRUN)
    except UserError as error:
        raise UserError(blame_sweep(str(error), overrides)) from error
    verbose = plain(OmegaConf.create({"it": master.hydra.verbose}))["it"]
    if wrong := mismatch(verbose, bool | str | list[str]):
        raise UserError(f"hydra.verbose={verbose}: {wrong}")
    if not (args.multirun or master.hydra.mode == RunMode.MULTIRUN):
        cfg = hydra.job(overrides)
        for line in twice:  # overrides appended to others: a script's way
            print(f"her_exp: note: {line}; the last holds", file=sys.stderr)
        for text in overrides:
            if re.match(r"hydra[./](launcher|sweeper)=", text):
                raise UserError(f"{text}: only a sweep has one; add -m")
        if cfg.sweep is not None:
            raise UserError(
                f"sweep={cfg.sweep}: names the folder of a sweep; add -m, or for one run name its "
                "folder: hydra.run.dir=..."
            )
        try:
            validate(without_hydra(cfg))
        except UserError as error:
            raise UserError(blame_experiment(str(error), overrides, hydra)) from error
        folder = _writable(cfg, "hydra.run.dir")
        if folder.is_dir():  # Hydra would write into it before the run can refuse
            check_free(folder)
            if (folder / "run.lock").exists():
                lock(folder).close()
        return Plan([*flags, *overrides])
    if twice:  # the names of the folders would say both
        raise UserError("\n".join(f"{line}; give it once" for line in twice))
    return _check_sweep(hydra, flags, overrides, argv)


def _check_sweep(
    hydra: Composer, flags: list[str], overrides: list[str], argv: Sequence[str]
) -> Plan:
    master = hydra.raw(overrides, RunMode.MULTIRUN)
    sweep_plan.check_plugins(master, hydra)
    if OmegaConf.select(master, "sweep") is None:
        overrides.append(f"sweep={_sweep_name(argv)}")
        master = hydra.raw(overrides, RunMode.MULTIRUN)
    jobs = sweep_plan.jobs(hydra, master)
    configs = sweep_plan.check_jobs(hydra, jobs, elsewhere=sweep_plan.elsewhere(master.hydra))
    listed = sweep_plan.is_listed(master.hydra)
    environment = sweep_plan.check_shares(master.hydra, configs)
    overrides += sweep_plan.short_names(jobs)
    folder = _writable(master, "hydra.sweep.dir")
    names = [_subdir(cfg, number) for number, cfg in enumerate(configs)]
    for inner in folder.iterdir() if folder.is_dir() else ():
        if any(fnmatch(inner.name, pattern) for pattern in _OF_A_SWEEP):
            check_plain(folder, [inner], folders=(".places", ".submitit", ".trials"))
        if inner.is_symlink() and inner.name in names:
            raise UserError(f"{inner}: is a link; a job has a folder of its own")
        if inner.is_dir():
            judge(inner)
    if listed:
        _check_folders(folder, names, jobs, configs)
    return Plan(
        [*flags, *overrides],
        folder,
        len(jobs) if listed else 0,
        str(master.hydra.launcher._target_),
        environment,
        master.hydra.sweeper._target_ == sweep_plan.OPTUNA,
    )


def _sweep_name(argv: Sequence[str]) -> str:
    """Name a sweep once for the processes of all its jobs: when it began, and what it is."""
    digits = hashlib.sha256("\0".join(argv).encode()).hexdigest()[:6]
    return f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{digits}"


# --- the output folder -------------------------------------------------------------------------


def _resolved(cfg: DictConfig, key: str) -> str:
    """Return the name of a folder, with all that it refers to."""
    try:
        with hydra_values(cfg):
            name = str(OmegaConf.select(cfg, key, throw_on_missing=True))
    except (OmegaConfBaseException, HydraException) as error:
        raise UserError(f"{key}: {str(error).splitlines()[0]}") from error
    if not name:
        raise UserError(f"{key}= names no folder; give one, or leave it out")
    return name


def _subdir(cfg: DictConfig, number: int) -> str:
    """Return the name of a job's folder, as the launcher will."""
    OmegaConf.set_readonly(cfg.hydra, False)  # which a look at its values has made it
    cfg.hydra.job.id = cfg.hydra.job.num = number
    return os.path.normpath(_resolved(cfg, "hydra.sweep.subdir"))


def _check_folders(
    folder: Path,
    names: Sequence[str],
    jobs: Sequence[sweep_plan.Job],
    configs: Sequence[DictConfig],
) -> None:
    """See that no two jobs share a folder, and that what is in one already is the same experiment."""
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        other = first.setdefault(name, number)
        if other != number:
            raise UserError(
                f"hydra.sweep.subdir: job {other} ({jobs[other].label}) and job {number} "
                f"({jobs[number].label}) would share the folder {folder / name}; leave it out, or name "
                "in it what is swept"
            )
    same: dict[str, int] = {}
    for number, (name, cfg) in enumerate(zip(names, configs, strict=True)):
        other = same.setdefault(config_hash(cfg), number)
        if other != number:
            raise UserError(
                f"job {other} ({jobs[other].label}) and job {number} ({jobs[number].label}) are the same "
                "experiment; leave one out"
            )
        check_same(folder / name, cfg)
    _note_others(folder, names)


def _note_others(folder: Path, names: Sequence[str]) -> None:
    """Say so where jobs that are new are there already but for the hash in their names."""
    new = {name[:-7] for name in names if _HASHED.search(name) and not (folder / name).exists()}
    there = (
        [inner for inner in folder.iterdir() if inner.is_dir()] if new and folder.is_dir() else []
    )
    if others := [
        inner for inner in there if _HASHED.search(inner.name) and inner.name[:-7] in new
    ]:
        print(
            f"her_exp: note: {folder} holds {len(others)} of these jobs with other settings, and these are "
            "trained beside them; resume=FOLDER trainer.total_steps=N makes one longer",
            file=sys.stderr,
        )


def _writable(cfg: DictConfig, key: str) -> Path:
    """Return the folder that `key` names, having seen that it can be made and written to."""
    folder = Path(_resolved(cfg, key)).absolute()
    parent = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        if parent.is_symlink() and not parent.exists():
            raise OSError(errno.ENOENT, "a link that leads nowhere")
        with suppress(FileNotFoundError):
            folder.lstat()  # a name that is too long
        # Permissions say nothing to root, nor of read-only or full disks: try it.
        Path(tempfile.mkdtemp(prefix=".her_exp-", dir=parent)).rmdir()
    except OSError as error:
        raise UserError(
            f"{key}: cannot write to {folder} ({error.strerror}: {parent}); "
            f"give another folder, e.g. {key}=outputs/{path_safe(folder.name)}"
        ) from error
    return folder
