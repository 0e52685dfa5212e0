"""Finds run folders by the files in them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from her_exp.types import UserError

_FILES = ("config.yaml", "run.json", "result.json")


def targets(text: str) -> list[str]:
    """Read `runs=`: one folder or glob, or a list of them in brackets.

    Names of run folders hold commas themselves, so parts of a list are joined until they exist.
    """
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    parts, found = text[1:-1].split(","), []
    while parts:
        words = [",".join(parts[: n + 1]).strip() for n in range(len(parts))]
        size = next((n for n, word in enumerate(words) if word and _matches(word)), 0)
        found.append(words[size])
        parts = parts[size + 1 :]
    return [word for word in found if word]


def _matches(target: str) -> list[Path]:
    if os.path.isdir(target):  # where Path raises, of a name that is too long, this says no
        return [Path(target)]
    return [Path(name) for name in sorted(glob.glob(target)) if os.path.isdir(name)]


def home(target: str) -> Path:
    """Return the folder that a report on `target` belongs to: of a glob, the part before the first star."""
    if os.path.isdir(target):
        return Path(target)
    parts: list[str] = []
    for part in Path(target).parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def find(text: str) -> list[Path]:
    """Return the run folders below what `runs=` names.

    Raises:
        UserError: a part of it names no folder, or there is no run at all.
    """
    wanted = targets(text)
    if not wanted:
        raise UserError(f"runs={text}: names no folder")
    folders: dict[Path, Path] = {}
    for target in wanted:
        roots = _matches(target)
        if not roots:
            raise UserError(f"runs={target}: no such folder")
        for root in roots:
            folders |= {path.resolve(): path for path in _below(root)}
    if not folders:
        raise UserError(
            f"runs={text}: no run in it; a run folder holds config.yaml, run.json and result.json, and "
            "python -m her_exp.train makes one"
        )
    return sorted(folders.values())


def _below(root: Path) -> Iterator[Path]:
    for path, names, files in os.walk(root):
        # A run that was killed at once has left its lock alone.
        if sum(name in files for name in _FILES) >= 2 or "run.lock" in files:
            names.clear()  # what lies in a run folder is its own
            yield Path(path)
        names[:] = [name for name in names if not name.startswith(".")]
