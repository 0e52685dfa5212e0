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
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from her_exp.system import launchers as share
from her_exp.types import UserError

CONFIG_NAME = "config"
#: A file name on every common file system has at most 255 bytes; 120 leaves room for suffixes.
FOLDER_LENGTH = 120
#: What a job's folder is not named by. A sweep's command adds it for Hydra; nobody has typed it.
NOT_IN_NAMES = "hydra.job.config.override_dirname.exclude_keys"


# --- resolvers ---------------------------------------------------------------------------------


def path_safe(text: object) -> str:
    """Turn any text into one file-name part: letters, digits and `_.,=+-` stay."""
    safe = re.sub(r"[^\w.,=+-]+", "_", str(text), flags=re.ASCII)
    # A leading dot hides a folder or climbs out of it, a leading dash looks like an option.
    return re.sub(r"^[._-]*[.-]_*", "", safe)[:FOLDER_LENGTH] or "_"


def config_hash(cfg: DictConfig) -> str:
    """Return a hash of what a run computes: its configuration without `hydra`, `sweep` and sinks."""
    job = without_hydra(cfg)
    with open_dict(job):
        job.pop("sweep", None)
        if isinstance(job.get("trainer"), DictConfig):
            job.trainer.pop("sinks", None)
    try:
        values = OmegaConf.to_container(job, resolve=True)
    except OmegaConfBaseException:  # refers to what is known only once the folder exists
        values = OmegaConf.to_container(job)
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def job_name(override_dirname: str | None, _root_: DictConfig) -> str:
    """Name a sweep's job: its overrides, made safe and short, and six digits of its config's hash."""
    digits = config_hash(_root_)[:6]
    name = path_safe(override_dirname or "default")[: FOLDER_LENGTH - len(digits) - 1]
    return f"{name}_{digits}"


def register_resolvers() -> None:
    """Make `${path_safe:...}` and the others known to OmegaConf; may be called again."""
    OmegaConf.register_new_resolver("path_safe", path_safe, replace=True)
    OmegaConf.register_new_resolver("workers", share.workers, replace=True)
    OmegaConf.register_new_resolver("job_gpus", share.job_gpus, replace=True)


register_resolvers()


# --- composition ------------------------------------------------------------------------------


class Composition:
    """Hydra's compose API on our configuration, with Hydra's own errors."""

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


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return a copy of `cfg` without its `hydra` node."""
    bare = cfg.copy()
    with open_dict(bare):
        bare.pop("hydra", None)
    return bare


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
