"""A run folder may be a stranger's: its config is data until every class in it is known to be trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from her_exp import CONF_DIR
from her_exp.config.compose import composer
from her_exp.config.hydra_api import without_hydra
from her_exp.config.parts import LISTED, NESTED, PARTS, WITHIN
from her_exp.config.signatures import find_class
from her_exp.store.find import check_run
from her_exp.store.folder import CONFIG, config_of
from her_exp.text import one_line
from her_exp.types import UserError

_OURS = "her_exp"
#: Importing these registers Gymnasium ids and does nothing else; the files of conf/env name them. (Packages
#: that only an experiment names, as zoo/parking_tqc does highway_env, are trusted on demand.)
_REGISTERS = ("gymnasium_robotics",)
_OLD_TRAINER = "her_exp.trainer.Trainer"  # where it lay before the package had rooms
#: Classes of packages that are not trusted as a whole.
_CLASSES = ("torch.nn.ReLU", "torch.nn.Tanh", "torch.nn.SiLU", "torch.nn.GELU", "torch.nn.ELU")


def packages(text: str) -> list[str]:
    """Read `trust=[a,b]` as it stands on a command line, with or without brackets."""
    return [name for name in text.strip("[] ").replace(" ", "").split(",") if name]


def load_run_config(folder: Path, trust: Sequence[str] = (), word: str = "run") -> DictConfig:
    """Return the config of a run folder, once nothing in it can run a stranger's code.

    Only classes are made from it, and only those whose own module lies in `her_exp` or in a package
    of `trust`; functions never.

    Raises:
        UserError: no run folder, no config, or something in it that is not trusted.
    """
    check_run(word, folder)
    values, path = config_of(folder), folder / CONFIG
    parts = {key: values.get(key) for key in PARTS}
    lacking = [key for key in ("seed", "threads", "device", "products") if values.get(key) is None]
    lacking += [
        k for k, node in parts.items() if not (isinstance(node, dict) and "_target_" in node)
    ]
    if isinstance(parts["trainer"], dict) and parts["trainer"].get("_target_") == _OLD_TRAINER:
        raise UserError(
            f"{path}: of an older layout of her_exp, which this one does not read; run it anew from "
            "the overrides in its run.json"
        )
    check_trust(values, trust)
    if lacking:
        raise UserError(f"{path}: lacks {', '.join(lacking)}; is it whole?")
    try:
        return OmegaConf.create(values)
    except OmegaConfBaseException as error:  # a key that it cannot hold
        raise UserError(f"{path}: cannot be read ({one_line(str(error))})") from error


def check_trust(values: dict[Any, Any], trust: Sequence[str] = ()) -> None:
    """Raise UserError if making the parts of this config could run code that is not trusted."""
    for key, value in _walk(values):
        name = key.rpartition(".")[2]
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{key}={value}: a run's saved config holds values, no interpolations")
        if name == "_target_":
            _check_target(key, value, trust)
        elif name == "_args_":
            raise UserError(f"{key}: a run's saved config names every argument")
        for module in _imported(name, value):
            root = module.partition(".")[0]
            if module not in _REGISTERS and root not in (_OURS, *trust):
                raise UserError(
                    f"{key}={value}: importing {module} runs its code; if you trust it, add trust=[{root}]"
                )


def packages_of(values: dict[Any, Any]) -> list[str]:
    """Return the packages that a config names: what the user who wrote it trusts already."""
    named = []
    for key, value in _walk(values):
        name = key.rpartition(".")[2]
        named += [str(value)] if name == "_target_" else _imported(name, value)
    return sorted({module.partition(".")[0] for module in named} - {_OURS})


def packages_named(overrides: Sequence[str]) -> list[str]:
    """Return the packages that a command line names, itself or by the files of conf/ that it chooses."""
    parser, named, choices = OverridesParser.create(), set[str](), []
    folders = [word.partition("=")[2] for word in overrides if word.startswith("--config-dir=")]
    for text in (word for word in overrides if not word.startswith("-")):
        try:
            override = parser.parse_override(text)
        except HydraException:
            continue  # said where it is applied
        if (CONF_DIR / override.key_or_group).is_dir():
            choices.append(text)
        elif not override.is_sweep_override() and not override.is_delete():
            named.update(packages_of({override.key_or_group: override.value()}))
    if choices:
        with composer(extra_dir=folders[-1] if folders else None) as hydra:
            chosen = without_hydra(hydra.raw(choices))
        named.update(packages_of({"": OmegaConf.to_container(chosen)}))
    return sorted(named)


def _imported(name: str, value: Any) -> list[str]:
    """Modules that a key makes us import: those of `imports`, and the first half of `module:Id`."""
    if name == "imports" and value:
        return [str(module) for module in (value if isinstance(value, list) else [value])]
    module, colon, _ = (
        value.partition(":") if name == "id" and isinstance(value, str) else ("", "", "")
    )
    return [module] if colon else []


def _check_target(key: str, target: Any, trust: Sequence[str]) -> None:
    if target in _CLASSES:
        return
    root = str(target).partition(".")[0]
    # Looked at before anything is imported: importing runs code as well.
    if root not in (_OURS, *trust):
        raise UserError(
            f"{key}={target}: not from a trusted package; if you trust it, add trust=[{root}]"
        )
    cls = find_class(key, target)
    # A name in our package may lead elsewhere: what counts is where the class itself lives.
    home = cls.__module__.partition(".")[0]
    if home not in (_OURS, *trust):
        raise UserError(f"{key}={target}: leads to {cls.__module__}, which is not trusted")
    if home == _OURS:  # of ours, only what fits the slot: others open files, processes, folders
        slot = key.removesuffix("._target_")
        inner = WITHIN.get(slot) or NESTED.get(slot, ("", ()))[0]
        inner = inner or LISTED.get(re.sub(r"\[\d+\]$", "", slot), "")
        base = PARTS[slot].base if slot in PARTS else inner
        if not base or not issubclass(cls, find_class(key, base)):
            raise UserError(f"{key}={target}: this class has no business here")


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
