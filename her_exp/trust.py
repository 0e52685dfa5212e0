"""A run folder may be a stranger's: its config is data until every class in it is known to be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from her_exp.signatures import find_class
from her_exp.types import UserError

_OURS = "her_exp"
#: Classes of packages that are not trusted as a whole.
_CLASSES = ("torch.nn.ReLU", "torch.nn.Tanh", "torch.nn.SiLU", "torch.nn.GELU", "torch.nn.ELU")


def load_run_config(folder: Path, trust: Sequence[str] = ()) -> DictConfig:
    """Return the config of a run folder, once nothing in it can run a stranger's code.

    Only classes are made from it, and only those whose own module lies in `her_exp` or in a package
    of `trust`; functions never.

    Raises:
        UserError: no run folder, no config, or something in it that is not trusted.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"run={folder}: no run folder, config.yaml is missing")
    try:
        cfg = OmegaConf.load(path)
        values = OmegaConf.to_container(cfg, resolve=False)
    except (OmegaConfBaseException, YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(cfg, DictConfig) or not isinstance(values, dict):
        raise UserError(f"{path}: no configuration")
    check_trust(values, trust)
    return cfg


def check_trust(values: dict[Any, Any], trust: Sequence[str] = ()) -> None:
    """Raise UserError if making the parts of this config could run code that is not trusted."""
    allowed = {_OURS, *trust}
    for key, value in _walk(values):
        last = key.rpartition(".")[2]
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{key}={value}: a run's saved config holds values, no interpolations")
        if last == "_target_":
            _check_target(key, value, allowed)
        elif last == "_args_":
            raise UserError(f"{key}: a run's saved config names every argument")
    env = values.get("env")
    env = env if isinstance(env, dict) else {}
    modules = env.get("imports") or []
    named = str(env.get("id") or "").partition(":")
    modules = [*(modules if isinstance(modules, list) else [modules]), *named[: bool(named[1])]]
    for module in modules:
        root = str(module).partition(".")[0]
        if root not in allowed:
            raise UserError(
                f"env.imports, env.id: importing {module} runs its code; if you trust it, add "
                f"trust=[{root}]"
            )


def _check_target(key: str, target: Any, allowed: set[str]) -> None:
    if target in _CLASSES:
        return
    root = str(target).partition(".")[0]
    # Looked at before anything is imported: importing runs code as well.
    if root not in allowed:
        raise UserError(
            f"{key}={target}: not from a trusted package; if you trust it, add trust=[{root}]"
        )
    cls = find_class(key, target)
    # A name in our package may lead elsewhere: what counts is where the class itself lives.
    if cls.__module__.partition(".")[0] not in allowed:
        raise UserError(f"{key}={target}: leads to {cls.__module__}, which is not trusted")


def _walk(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            path = f"{key}.{name}" if key else str(name)
            yield path, value
            yield from _walk(value, path)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield f"{key}[{number}]", value
            yield from _walk(value, f"{key}[{number}]")
