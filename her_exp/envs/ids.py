"""Gymnasium ids: what one stands for, or in one line which id, file or package is meant."""

from __future__ import annotations

import difflib
import itertools
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec as find_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from omegaconf import OmegaConf

import her_exp.envs  # noqa: F401  (registers our own ids)
from her_exp import CONF_DIR
from her_exp.envs.packages import INSTALL, import_envs
from her_exp.system.foreign import foreign_code
from her_exp.text import written
from her_exp.types import UserError

#: How the ids of goal envs begin, and the package that registers them when it is imported.
_PACKAGES = {
    "Fetch": "gymnasium_robotics",
    "HandReach": "gymnasium_robotics",
    "HandManipulate": "gymnasium_robotics",
    "PointMaze": "gymnasium_robotics",
    "AntMaze": "gymnasium_robotics",
    "Panda": "panda_gym",
    "parking": "highway_env",
}


def import_modules(names: Sequence[str]) -> None:
    """Import modules that register Gymnasium ids."""
    for name in [names] if isinstance(names, str) else names:
        gym.register_envs(import_envs(name))


def find_spec(id: str) -> EnvSpec:
    """Return the registered spec, or say which words are right, or which ids are near."""
    try:
        with foreign_code():  # `module:Id` imports a stranger's module
            return gym.spec(id)
    except gym.error.Error as error:
        package = _package(id)
        if package and sys.modules.get(package) is None:
            raise UserError(f"env.id={id}: no such env; {right_words(id)}") from error
        near = _near(id)
        if not near and _file_like(id)[0]:
            raise UserError(f"env.id={id}: no such env; {right_words(id)}") from error
        hint = f"did you mean {' or '.join(near)}?" if near else "no id is near it."
        raise UserError(
            f"env.id={id}: no such env; {hint} A package that registers on import goes into "
            "env.imports=[...]"
        ) from error


def right_words(id: str) -> str:
    """Say which words of a command line choose an env that Gymnasium does not know by itself."""
    package = _package(id)
    missing = package is not None and find_module(package) is None
    file, right = _file_of(id)
    if not (file or missing) and package in (None, "gymnasium_robotics"):
        if package:  # its import does nothing but register ids
            import_modules([package])
        file, right = _file_of(next(iter(_near(id)), ""))
    if not file and (missing or not right):  # nobody knows its id; a file's may be meant
        file, right = _file_like(id)
        if not (file or missing):
            return "no id and no file of conf/env is near it"
        package = _package(right)
        missing = package is not None and find_module(package) is None
    imports = [f"env.imports=[{package}]"] if package else []
    words = shlex.join(["env=gym", f"env.id={right}", *imports])
    line = f"write {file} ({right} and its settings), or {words}" if file else f"write {words}"
    if package and missing:
        return f"{package} is not installed; {INSTALL[package]}, then {line}"
    return line


def newest(id: str) -> str | None:
    """Return the registered id of the same name with the highest version, if there is one."""
    near = _near(id)
    return near[0] if near and _name(near[0]) == _name(id) else None


def check_command(id: str, imports: Sequence[str], arguments: Mapping[str, Any]) -> str:
    """Return the command that checks an env, with all that it is made from."""
    words = ["env=gym", f"env.id={id}"]
    words += [f"env.imports=[{','.join(imports)}]"] if imports else []
    words += [f"+env.{name}={written(value)}" for name, value in arguments.items()]
    return shlex.join(["python", "-m", "her_exp.check", *words])


def _package(id: str) -> str | None:
    return next((package for start, package in _PACKAGES.items() if id.startswith(start)), None)


def _file_of(id: str) -> tuple[str, str]:
    """Return the words for the file of conf/env/ with an id of this name, and the id that it has."""
    return _pinned().get(_name(id), ("", id))


def _file_like(id: str) -> tuple[str, str]:
    """Return the same of an id whose name is misspelt; what is longer, as by `Dense`, is another env's."""
    pinned, name = _pinned(), _name(id)
    near = difflib.get_close_matches(name, pinned, n=1, cutoff=0.85)
    return pinned[near[0]] if near and len(name) <= len(near[0]) + 2 else ("", id)


def _pinned() -> dict[str, tuple[str, str]]:
    """Return by the name of each id in conf/env/: the words that choose it, and the id."""
    found = {}
    for path in sorted((CONF_DIR / "env").glob("*.yaml")):
        node = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(node, dict)
        choices = node.get("choices", {})
        for chosen in itertools.product(*choices.values()):
            words = dict(zip(choices, chosen, strict=True))
            its = node["id"].format(
                **{place: choices[place][word] for place, word in words.items()}
            )
            own = [f"env.{place}={word}" for place, word in words.items() if node[place] != word]
            found[_name(its)] = " ".join([f"env={path.stem}", *own]), its
    return found


def _name(id: str) -> str:
    """Return an id without namespace and version."""
    return id.rpartition("/")[2].partition("-v")[0].lower()


def _near(id: str) -> list[str]:
    """Return up to two registered ids whose names are like that of `id`, each of the highest version."""
    newest: dict[str, EnvSpec] = {}
    for spec in gym.registry.values():
        known = newest.setdefault(_name(spec.id), spec)
        if (spec.version or 0) > (known.version or 0):
            newest[_name(spec.id)] = spec
    names = difflib.get_close_matches(_name(id), newest, n=2, cutoff=0.75)
    return [newest[near].id for near in names[: 1 if _name(id) in newest else 2]]
