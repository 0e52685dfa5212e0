"""Composes the configuration, torch-free: where it lies, the resolvers it uses, one-line errors.

`validate.py` says whether the values of a composed configuration make sense, `preflight.py` does
both for a whole command line before Hydra makes a folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from her_exp import share
from her_exp.explain import explain, path_for_option
from her_exp.types import UserError

CONFIG_NAME = "config"
#: A file name on every common file system has at most 255 bytes; 120 leaves room for suffixes.
FOLDER_LENGTH = 120


def _conf_dir() -> Path:
    """The wheel carries the configuration inside the package, a checkout beside it."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


CONF_DIR = _conf_dir()


# --- resolvers ---------------------------------------------------------------------------------


def path_safe(text: object) -> str:
    """Turn any text into one file-name part: letters, digits and `_.,=+-` stay."""
    safe = re.sub(r"[^\w.,=+-]+", "_", str(text), flags=re.ASCII)
    # A leading dot hides a folder or climbs out of it, a leading dash looks like an option.
    return re.sub(r"^[._-]*[.-]_*", "", safe)[:FOLDER_LENGTH] or "_"


def config_hash(cfg: DictConfig) -> str:
    """Six hex digits of what a run computes: its configuration without `hydra` and `sweep`."""
    job = without_hydra(cfg)
    with open_dict(job):
        job.pop("sweep", None)
    try:
        values = OmegaConf.to_container(job, resolve=True)
    except OmegaConfBaseException:  # refers to what is known only once the folder exists
        values = OmegaConf.to_container(job)
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def job_folder(override_dirname: str | None, _root_: DictConfig) -> str:
    """Name a sweep job's folder: its overrides, made safe and short, and its config's hash."""
    digits = config_hash(_root_)
    name = path_safe(override_dirname or "default")[: FOLDER_LENGTH - len(digits) - 1]
    return f"{name}_{digits}"


def register_resolvers() -> None:
    """Make `${path_safe:...}` and the others known to OmegaConf; may be called again."""
    OmegaConf.register_new_resolver("path_safe", path_safe, replace=True)
    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
    OmegaConf.register_new_resolver("workers", share.workers, replace=True)
    OmegaConf.register_new_resolver("job_gpus", share.job_gpus, replace=True)


register_resolvers()


# --- composition -------------------------------------------------------------------------------


class Composer:
    """Composes configurations; made by `composer()`, good for many in a row."""

    def __init__(self, config_name: str, search: Sequence[str]):
        self.config_name = config_name
        self.search = list(search)

    @property
    def loader(self) -> ConfigLoader:
        """Hydra's own loader, which knows the groups and their options."""
        return GlobalHydra.instance().config_loader()

    def compose(self, overrides: Sequence[str], mode: RunMode = RunMode.RUN) -> DictConfig:
        """Compose as Hydra does in `mode`, with Hydra's own errors."""
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        return hydra.compose_config(
            config_name=self.config_name,
            overrides=[*self.search, *overrides],
            run_mode=mode,
            from_shell=False,
            with_log_configuration=False,
        )

    def raw(self, overrides: Sequence[str], mode: RunMode = RunMode.RUN) -> DictConfig:
        """Compose with the `hydra` node; values may be missing. UserError in one line."""
        if wrong := path_for_option(overrides, self):
            raise UserError(wrong)
        try:
            return self.compose(overrides, mode)
        except Exception as error:  # no code of ours runs here: the words or the files are wrong
            raise UserError(explain(error, overrides, self)) from error

    def job(self, overrides: Sequence[str], number: int | None = None) -> DictConfig:
        """Compose one run, the `hydra` node included, and see that every value is there.

        What refers to Hydra is resolved, as in a run; `number` is that of a sweep's job.
        """
        cfg = self.raw(overrides)
        if number is not None:
            cfg.hydra.job.num = number
        _resolve_hydra(cfg)
        check_complete(without_hydra(cfg), self)
        return cfg


@contextmanager
def composer(config_name: str = CONFIG_NAME, extra_dir: str | None = None) -> Iterator[Composer]:
    """Open Hydra's compose API on our configuration and, like --config-dir, on `extra_dir`."""
    search = []
    if extra_dir is not None:
        folder = Path(extra_dir).resolve()
        if not folder.is_dir():
            raise UserError(f"--config-dir={extra_dir}: no such folder")
        search = [f"hydra.searchpath=['file://{folder}']"]
    with initialize_config_dir(str(CONF_DIR), job_name="train", version_base="1.3"):
        yield Composer(config_name, search)


def compose(overrides: Sequence[str] = (), *, hydra_config: bool = False) -> DictConfig:
    """Compose the configuration of one run.

    Args:
        overrides: as on the command line, e.g. `["buffer.k=8", "agent=dqn"]`.
        hydra_config: keep the `hydra` node.

    Raises:
        UserError: the overrides do not compose, or a value is missing; one line a problem.
    """
    with composer() as hydra:
        cfg = hydra.job(overrides)
    return cfg if hydra_config else without_hydra(cfg)


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return a copy of `cfg` without its `hydra` node."""
    bare = cfg.copy()
    with open_dict(bare):
        bare.pop("hydra", None)
    return bare


def _missing(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    # OmegaConf.missing_keys stumbles over an interpolation to a missing value.
    for key, node in cfg.items_ex(resolve=False):
        if OmegaConf.is_missing(cfg, key):
            yield prefix + str(key)
        elif isinstance(node, DictConfig) and not node._is_none():
            yield from _missing(node, f"{prefix}{key!s}.")


def check_complete(cfg: DictConfig, hydra: Composer | None = None) -> None:
    """Raise UserError if a mandatory value is missing or an interpolation leads nowhere."""
    missing = sorted(_missing(cfg))
    if missing:
        raise UserError("\n".join(f"{key} is not set; give {key}=..." for key in missing))
    for group in ("env", "buffer", "agent", "trainer"):
        if not isinstance(cfg.get(group), DictConfig):
            options = hydra.loader.get_group_options(group) if hydra else []
            choice = f"{group}=..." + (f", one of {', '.join(options)}" if options else "")
            raise UserError(f"{group} is not set; give {choice}")
    plain(cfg)


def _resolve_hydra(cfg: DictConfig) -> None:
    """Put what `${hydra:...}` stands for in its place, or say what is not known before the run."""
    values = OmegaConf.to_container(without_hydra(cfg), resolve=False)
    for key, text in list(_texts(values)):
        for name in re.findall(r"\$\{hydra:([\w.]+)\}", text):
            if OmegaConf.select(cfg, f"hydra.{name}") is None:
                why = "is not known before the run;"
                if name == "job.num":
                    why = "is the number of a sweep's job: add -m, or"
                raise UserError(f"{key}={text}: hydra.{name} {why} write the value itself")
        if "${hydra:" in text:
            with hydra_values(cfg):
                OmegaConf.update(cfg, key, OmegaConf.select(cfg, key))


def _texts(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _texts(value, f"{key}[{number}]")
    elif isinstance(node, str):
        yield key, node


@contextmanager
def hydra_values(cfg: DictConfig) -> Iterator[None]:
    """Let `${hydra:...}` in `cfg` resolve outside of a run, as Hydra lets it in one."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.set_config(cfg)
    try:
        yield
    finally:
        instance.cfg = before


def texts(overrides: Any) -> list[str]:
    """Return a list of overrides as they were given: `${...}` in them is not for us to resolve."""
    return cast(list[str], OmegaConf.to_container(overrides, resolve=False))


def plain(cfg: Any) -> dict[str, Any]:
    """Return a configuration node as plain, resolved Python values.

    Raises:
        UserError: an interpolation leads nowhere.
    """
    try:
        return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        if "HydraConfig was not set" in reason or reason.endswith("interpolation type hydra"):
            reason = "${hydra:...} has a value in new runs alone; write the value itself"
        elif lost := re.match(r"Interpolation key 'hydra\.([\w.]+)' not found", reason):
            reason += f"; write ${{hydra:{lost.group(1)}}}, with a colon"
        elif unset := re.search(r"Environment variable '(\w+)' not found", reason):
            reason = f"{unset.group(1)} is not set in the environment; export {unset.group(1)}=..."
        raise UserError(f"{error.full_key or 'config'}: {reason}") from error
