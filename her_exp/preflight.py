"""Checks a whole command line, every job of a sweep, before Hydra makes a folder."""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from her_exp.config import (
    CONFIG_NAME,
    FOLDER_LENGTH,
    Composer,
    check_complete,
    composer,
    hydra_values,
    path_safe,
    plain,
    texts,
    without_hydra,
)
from her_exp.hints import one_line
from her_exp.run_folder import check_free, lock
from her_exp.signatures import mismatch
from her_exp.types import UserError
from her_exp.validate import validate

BASIC_SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"
_LINES_AT_MOST = 20


class Plan(NamedTuple):
    """What a checked command line means."""

    argv: list[str]  #: arguments for Hydra
    sweep_dir: Path | None  #: the folder of a sweep's jobs; None for one run


class Job(NamedTuple):
    """One job of a sweep."""

    overrides: list[str]
    label: str  #: those of its overrides that are swept


def preflight(argv: Sequence[str]) -> Plan:
    """Compose and validate all that `argv` asks for; questions such as --help pass as they are.

    Raises:
        UserError: with one line for each problem; nothing was written.
    """
    if "--version" in argv:  # argparse would answer at once
        return Plan(list(argv), None)
    args = _parse(argv)
    asks = [args.cfg is not None, args.info is not None, args.shell_completion, args.multirun]
    if sum([*asks, args.run]) > 1:
        raise UserError("give only one of --run, --multirun, --cfg, --info, --shell-completion")
    if args.help or args.hydra_help or args.info is not None or args.shell_completion:
        return Plan(list(argv), None)
    with composer(args.config_name or CONFIG_NAME, args.config_dir) as hydra:
        if args.cfg is not None:
            cfg = hydra.raw(args.overrides)
            if args.resolve:
                check_complete(without_hydra(cfg), hydra)
            if args.resolve and args.cfg == "hydra":
                raise UserError("--cfg hydra --resolve lacks what it refers to; use --cfg all")
            return Plan(list(argv), None)
        return _check(args, argv, hydra)


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of every job that `-m` with `overrides` would run."""
    with composer() as hydra:
        master = hydra.raw(overrides, RunMode.MULTIRUN)
        return [job.overrides for job in _jobs(hydra, master)]


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
    master = hydra.raw(overrides, RunMode.MULTIRUN)
    verbose = plain(OmegaConf.create({"it": master.hydra.verbose}))["it"]
    if wrong := mismatch(verbose, bool | str | list[str]):
        raise UserError(f"hydra.verbose={verbose}: {wrong}")
    if not (args.multirun or master.hydra.mode == RunMode.MULTIRUN):
        cfg = hydra.job(overrides)
        validate(without_hydra(cfg))
        folder = _writable(cfg, "hydra.run.dir")
        if folder.is_dir():  # Hydra would write into it before the run can refuse
            check_free(folder)
            if (folder / "run.lock").exists():
                lock(folder).close()
        return Plan([*flags, *overrides], None)
    if OmegaConf.select(master, "sweep") is None:
        overrides.append(f"sweep={_sweep_name(argv)}")
        master = hydra.raw(overrides, RunMode.MULTIRUN)
    jobs = _jobs(hydra, master)
    _check_jobs(hydra, jobs)
    overrides += _short_names(jobs)
    folder = _writable(master, "hydra.sweep.dir")
    _check_subdir(hydra.raw(jobs[0].overrides))
    return Plan([*flags, *overrides], folder)


def _short_names(jobs: Sequence[Job]) -> list[str]:
    """Where the names of the jobs' folders grow too long, name them by what differs alone."""
    if max(len(",".join(job.overrides)) for job in jobs) <= FOLDER_LENGTH - 7:
        return []
    swept = {o.partition("=")[0] for o in jobs[0].label.split(" ")}
    keys = [o.partition("=")[0].lstrip("+~") for o in jobs[0].overrides]
    same = [key for key in keys if key not in swept and not key.startswith("hydra")]
    return [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(['sweep', *same])}]"]


def _sweep_name(argv: Sequence[str]) -> str:
    """Name a sweep once for the processes of all its jobs: when it began, and what it is."""
    digits = hashlib.sha256("\0".join(argv).encode()).hexdigest()[:6]
    return f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{digits}"


# --- sweeps ------------------------------------------------------------------------------------


def _jobs(hydra: Composer, master: DictConfig) -> list[Job]:
    """Enumerate the jobs; of a sweep that cannot be enumerated, one job with the first values."""
    for part in ("sweeper", "launcher"):
        _check_plugin(master, part, hydra)
    sweeper = master.hydra.sweeper
    params = OmegaConf.to_container(sweeper.get("params") or OmegaConf.create(), resolve=True)
    assert isinstance(params, dict)
    asked = [f"{key!s}={value}" for key, value in params.items()]
    asked += texts(master.hydra.overrides.task)
    own = [o for o in texts(master.hydra.overrides.hydra) if o not in hydra.search]
    parsed = OverridesParser.create(config_loader=hydra.loader).parse_overrides(asked)
    swept = {o.get_key_element() for o in parsed if o.is_sweep_override()}
    if "sweep" in swept:
        raise UserError("sweep names the folder of all jobs; give one name")
    if sweeper._target_ != BASIC_SWEEPER:
        return [Job([*own, *(_first_value(o) for o in parsed)], "")]
    unlisted = [o for o in parsed if o.is_sweep_override() and not o.is_discrete_sweep()]
    if unlisted:
        raise UserError(
            f"{unlisted[0].input_line}: cannot be enumerated; list the values, "
            f"{unlisted[0].key_or_group}=1,2, or take a sweeper that draws: hydra/sweeper=optuna"
        )
    [batch] = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    if not batch:
        empty = next(o for o in parsed if o.is_sweep_override() and not [*o.sweep_iterator()])
        raise UserError(f"{empty.input_line}: gives no value; list the values, key=1,2")
    return [Job([*own, *job], _label(job, swept)) for job in batch]


def _check_plugin(master: DictConfig, part: str, hydra: Composer) -> None:
    target = master.hydra[part].get("_target_")
    if target not in Plugins.instance().class_name_to_class:
        options = ", ".join(hydra.loader.get_group_options(f"hydra/{part}"))
        key = f"hydra.{part}._target_"
        raise UserError(
            f"{key}={target}: no plugin of Hydra; choose hydra/{part}=..., one of {options}"
        )


def _label(job: Iterable[str], swept: set[str]) -> str:
    return " ".join(o for o in job if o.partition("=")[0] in swept)


def _first_value(override: Override) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    value = override.value()
    if isinstance(value, IntervalSweep):
        return f"{override.get_key_element()}={value.start}"
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def _check_jobs(hydra: Composer, jobs: Sequence[Job]) -> None:
    """Validate every job; a line that does not hold for all names the first job that it does."""
    wrong: dict[str, list[int]] = {}
    for number, job in enumerate(jobs):
        try:
            validate(without_hydra(hydra.job(job.overrides)))
        except UserError as error:
            for line in str(error).splitlines():
                wrong.setdefault(line, []).append(number)
    lines = []
    for line, numbers in wrong.items():
        if len(numbers) < len(jobs):
            others = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
            line = f"job {numbers[0]} ({jobs[numbers[0]].label}){others}: {line}"
        lines.append(line)
    if len(lines) > _LINES_AT_MOST:
        lines = [*lines[:_LINES_AT_MOST], f"... and {len(lines) - _LINES_AT_MOST} lines more"]
    if lines:
        raise UserError("\n".join(lines))


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


def _check_subdir(first: DictConfig) -> None:
    """See that a sweep's first job, composed, can name its folder."""
    with open_dict(first):
        first.hydra.job.id = first.hydra.job.num = 0  # as the launcher will
    _resolved(first, "hydra.sweep.subdir")


def _writable(cfg: DictConfig, key: str) -> Path:
    """Return the folder that `key` names, having seen that it can be made and written to."""
    folder = Path(_resolved(cfg, key)).absolute()
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        # Permissions say nothing to root, nor of read-only or full disks: try it.
        Path(tempfile.mkdtemp(prefix=".her_exp-", dir=parent)).rmdir()
    except OSError as error:
        raise UserError(
            f"{key}: cannot write to {folder} ({error.strerror}: {parent}); "
            f"give another folder, e.g. {key}=outputs/{path_safe(folder.name)}"
        ) from error
    return folder
