"""Packages of environments that are missing, or known to be broken: one line before anything runs."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from her_exp.system.foreign import foreign_code, reason_of
from her_exp.types import UserError

#: What to install for a module that registers ids.
INSTALL = {
    "gymnasium_robotics": "pip install 'her_exp[robotics]'",
    "panda_gym": "pip install panda-gym",
    "highway_env": "pip install highway-env",
}


def import_envs(name: str) -> ModuleType:
    """Import a module that registers Gymnasium ids.

    Raises:
        UserError: it is not installed, cannot be imported, or its version is known to be broken.
    """
    broken = known_fault(name.partition(".")[0])
    if broken:
        raise UserError(f"env.imports=[{name}]: {broken}")
    # gymnasium_robotics tells everybody on stderr, in every process, about three Adroit envs.
    quiet = io.StringIO() if name == "gymnasium_robotics" else None
    try:
        told = contextlib.redirect_stderr(quiet) if quiet else contextlib.nullcontext()
        with foreign_code(), told:
            return importlib.import_module(name)
    except ImportError as error:
        install = INSTALL.get(name)
        hint = f"give {install}" if install else "is the package installed?"
        raise UserError(f"env.imports: cannot import {name!r} ({error}); {hint}") from error
    except Exception as error:  # whatever a package raises, a MUJOCO_GL that is not there among it
        raise UserError(f"env.imports: importing {name!r} failed: {reason_of(error)}") from error


def known_fault(module: str) -> str | None:
    """Say in words why the installed version of a module cannot work; None if it can, for all we know."""
    robotics, mujoco = _installed("gymnasium-robotics"), _installed("mujoco")
    if module != "gymnasium_robotics" or robotics is None:
        return None
    given = f"gymnasium-robotics {version('gymnasium-robotics')}"
    if (1, 3, 0) <= robotics <= (1, 3, 1):
        return (
            f"{given} starts Fetch from a wrong pose (its tasks cannot be solved); "
            "give pip install 'gymnasium-robotics>=1.4.2' 'mujoco<3.12'"
        )
    if robotics <= (1, 4, 2) and mujoco is not None and mujoco >= (3, 12):
        return (
            f"{given} cannot make Fetch or hand envs with mujoco {version('mujoco')}; "
            "give pip install 'mujoco<3.12'"
        )
    return None


def _installed(package: str) -> tuple[int, ...] | None:
    """Return the leading numbers of a package's version, or None where it is not installed."""
    try:
        text = version(package)
    except PackageNotFoundError:
        return None
    numbers = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in numbers.group().split(".")) if numbers else None
