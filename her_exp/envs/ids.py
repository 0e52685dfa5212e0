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
    if not (file or missing):
        if package == "gymnasium_robotics":  # its import does nothing but register ids
            import_modules([package])
        if package in (None, "gymnasium_robotics"):
            near = _near(id)
            if not near:
                return "no id and no file of conf/env is near it"
            right = near[0]
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
    for path in sorted((CONF_DIR / "env").glob("*.yaml")):
        node = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(node, dict)
        choices = node.get("choices", {})
        for chosen in itertools.product(*choices.values()):
            words = dict(zip(choices, chosen, strict=True))
            its = node["id"].format(
                **{place: choices[place][word] for place, word in words.items()}
            )
            if _name(its) == _name(id):
                own = [
                    f"env.{place}={word}" for place, word in words.items() if node[place] != word
                ]
                return " ".join([f"env={path.stem}", *own]), its
    return "", id


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
