"""Composes configurations, every value there, with one-line errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from her_exp import CONF_DIR
from her_exp.config.explain import explain, path_for_option
from her_exp.config.hydra_api import CONFIG_NAME, Composition, hydra_values, plain, without_hydra
from her_exp.config.parts import PARTS
from her_exp.types import UserError


class Composer(Composition):
    """Composes configurations; made by `composer()`, good for many in a row."""

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
    for group in PARTS:
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
