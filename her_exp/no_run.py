"""Says why a folder that run=, resume= or rerun= names is no run, and which runs lie below it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from her_exp.types import UserError

_NAMED = 3  # runs in the line, at most
_SEARCHED = 2000  # folders; what lies below may be a whole disk


def check_run(word: str, folder: Path) -> None:
    """Raise UserError in one line if `folder`, given as `word`=, holds no `config.yaml`."""
    if os.path.isfile(
        folder / "config.yaml"
    ):  # where Path raises, of a name too long, this says no
        return
    if not os.path.exists(folder):
        raise UserError(f"{word}={folder}: no such folder")
    if not folder.is_dir():
        raise UserError(f"{word}={folder}: a file, no run folder")
    names = [str(path.relative_to(folder)) for path in islice(_below(folder), _NAMED + 1)]
    if not names:
        raise UserError(f"{word}={folder}: no run folder, config.yaml is missing")
    named = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    raise UserError(f"{word}={folder}: no run folder itself; give one below it: {named}")


def _below(root: Path) -> Iterator[Path]:
    """Walk the runs below a folder, the newest of those side by side first: their names are times."""
    for path, names, files in islice(os.walk(root), _SEARCHED):
        if {"config.yaml", "run.json"} <= set(files):
            names.clear()  # what lies in a run folder is its own
            yield Path(path)
        names[:] = sorted((name for name in names if not name.startswith(".")), reverse=True)
