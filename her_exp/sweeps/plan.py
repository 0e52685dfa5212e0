"""What a sweep will run: its jobs, each of them checked, and whether its launcher can run them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from her_exp.config.blame import blame_experiment
from her_exp.config.compose import Composer
from her_exp.config.hydra_api import NOT_IN_NAMES, plain, texts, without_hydra
from her_exp.config.signatures import arguments, find_class, mismatch
from her_exp.config.validate import validate
from her_exp.limits import complaint
from her_exp.sweeps.space import corners
from her_exp.system.launchers import BATCHED, check_threads, environment, launcher_of
from her_exp.text import unknown_key
from her_exp.types import UserError

BASIC_SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"
OPTUNA = "hydra_plugins.her_exp.optuna_sweeper.OptunaSweeper"

#: Values of our launchers and of our sweeper.
_TYPES: dict[str, Any] = {
    "n_jobs": int | None, "batch_size": int | str, "timeout_min": int, "signal_delay_s": int,
    "max_num_timeout": int, "array_parallelism": int, "cpus_per_task": int | None,
    "mem_gb": float | None, "num_cpus": int, "max_retries": int, "n_trials": int,
    "address": str | None, "storage": str | None, "study_name": str | int | None,
}  # fmt: skip

_LINES_AT_MOST = 5


class Job(NamedTuple):
    """One job of a sweep."""

    overrides: list[str]
    label: str  #: those of its overrides that are swept


def is_listed(hydra: DictConfig) -> bool:
    """Say whether all jobs are known beforehand; a sweeper that searches decides as it goes."""
    return bool(hydra.sweeper._target_ == BASIC_SWEEPER)


def elsewhere(hydra: DictConfig) -> bool:
    """Say whether the jobs run on other machines than this."""
    node = plain(hydra.launcher)
    return launcher_of(node).elsewhere(node)


# --- jobs --------------------------------------------------------------------------------------


def jobs(hydra: Composer, master: DictConfig) -> list[Job]:
    """Enumerate the jobs; of a sweep that searches, jobs at the ends of what it searches."""
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
        if not swept:
            raise UserError("nothing to search; give e.g. 'agent.gamma=interval(0.9,0.99)'")
        return [Job([*own, *job], label) for job, label in corners(parsed)]
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
    listed = [Job([*own, *job], _label(job, swept)) for job in batch]
    seen: set[str] = set()
    for job in listed:
        if job.label in seen and swept:
            raise UserError(f"{job.label}: listed twice; two jobs would share one folder")
        seen.add(job.label)
    return listed


def _label(job: Iterable[str], swept: set[str]) -> str:
    return " ".join(o for o in job if o.partition("=")[0] in swept)


def check_jobs(hydra: Composer, jobs: Sequence[Job], *, elsewhere: bool) -> list[DictConfig]:
    """Validate every job and return their configurations, the `hydra` node included.

    A line that does not hold for all jobs names the first that it holds for. Jobs that run
    `elsewhere` may ask for devices, and for memory, that are not here.
    """
    wrong: dict[str, list[int]] = {}
    configs = []
    for number, job in enumerate(jobs):
        try:
            cfg = hydra.job([*job.overrides, *short_names(jobs)], number)
            validate(without_hydra(cfg), elsewhere=elsewhere)
            configs.append(cfg)
        except UserError as error:
            for line in blame_experiment(str(error), job.overrides, hydra).splitlines():
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
    return configs


def short_names(jobs: Sequence[Job]) -> list[str]:
    """Name the jobs' folders by what differs alone; a single job has nothing else, and is named by all."""
    if not jobs[0].label:
        return []
    swept = {o.partition("=")[0].lstrip("+~") for o in jobs[0].label.split(" ")}
    keys = [o.partition("=")[0].lstrip("+~") for o in jobs[0].overrides]
    same = [key for key in keys if key not in {*swept, "sweep"} and not key.startswith("hydra")]
    if not same:
        return []
    return [f"{NOT_IN_NAMES}=[{','.join(['sweep', *same])}]"]


# --- launcher and sweeper ----------------------------------------------------------------------


def check_plugins(master: DictConfig, composed_by: Composer) -> None:
    """See that launcher and sweeper exist, are installed, and their values make sense.

    Raises:
        UserError: with one line for each problem.
    """
    hydra = master.hydra
    for part in ("launcher", "sweeper"):
        if not isinstance(hydra[part], DictConfig):
            raise UserError(f"hydra.{part}={hydra[part]}: write hydra/{part}={hydra[part]}")
        target = str(hydra[part].get("_target_"))
        need = "optuna" if target == OPTUNA else launcher_of({"_target_": target}).needs
        if need is not None and find_spec(need) is None:
            choice = hydra.runtime.choices[f"hydra/{part}"]
            raise UserError(
                f"hydra/{part}={choice}: needs packages that are not installed; "
                "pip install 'her_exp[sweep]'"
            )
        if target not in Plugins.instance().class_name_to_class:
            options = ", ".join(composed_by.loader.get_group_options(f"hydra/{part}"))
            raise UserError(
                f"hydra.{part}._target_={target}: no plugin of Hydra; choose hydra/{part}=..., one of "
                f"{options}"
            )
    node = plain(hydra.launcher)
    if reason := launcher_of(node).refuse(node):
        raise UserError(reason)
    lines = [line for part in ("launcher", "sweeper") for line in _values(hydra, part)]
    if lines:
        raise UserError("\n".join(lines))


def _values(hydra: DictConfig, part: str) -> Iterator[str]:
    node = plain(hydra[part])
    if part == "sweeper" and node["_target_"] != OPTUNA:
        return
    for name, value in node.items():
        given = f"hydra.{part}.{name}={value}"
        negative = part == "launcher" and name == "n_jobs"  # joblib counts from the end: -1 is all
        wrong = mismatch(value, _TYPES.get(name, Any))
        if not wrong and value is not None:
            wrong = complaint(name, abs(value) if negative else value)
        if wrong:
            yield f"{given}: {wrong}"
    if part == "sweeper" and node["direction"] not in ("maximize", "minimize"):
        yield f"hydra.sweeper.direction={node['direction']}: must be maximize or minimize"
    if part == "sweeper":
        yield from _sampler(node["sampler"])


def _sampler(node: dict[str, Any]) -> Iterator[str]:
    """Check the node of an Optuna sampler against what its class takes."""
    key = "hydra.sweeper.sampler"
    takes = arguments(find_class(f"{key}._target_", str(node.get("_target_"))))
    for name, value in node.items():
        if name.startswith("_"):
            continue
        if name not in takes.types and not takes.open:
            yield unknown_key(f"{key}.{name}", [f"{key}.{known}" for known in takes.types])
        elif wrong := mismatch(value, takes.types.get(name, Any)) or complaint(name, value):
            yield f"{key}.{name}={value}: {wrong}"


def check_shares(hydra: DictConfig, configs: Sequence[DictConfig]) -> dict[str, str]:
    """See that each job's threads fit its share of the cores; returns what its process inherits."""
    node = plain(hydra.launcher)
    launcher = launcher_of(node)
    if launcher.in_turn:
        return {}
    if launcher.cluster and any(cfg.device == "auto" for cfg in configs):
        # A cluster gives a job the GPUs that it asked for, and `auto` does not say whether it wants one.
        raise UserError(
            f"device=auto: hydra/launcher={hydra.runtime.choices['hydra/launcher']} must know whether a job "
            "takes a GPU; give device=cuda or device=cpu"
        )
    if node["_target_"] == BATCHED:
        from her_exp.together.alike import complaints  # has torch

        values = [plain(without_hydra(cfg)) for cfg in configs]
        if not is_listed(hydra):  # corners of a search, so many of whose like are tried at once
            values = values[:1] * int(plain(hydra.sweeper).get("n_jobs") or 1)
        lines = list(complaints(values))
        if lines:
            raise UserError("\n".join(lines))
        return {}
    threads = [int(cfg.threads) for cfg in configs]
    check_threads(node, threads, len(configs) if is_listed(hydra) else None)
    return environment(threads, [str(cfg.device) for cfg in configs])
