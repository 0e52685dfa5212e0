"""Says why a folder that run=, resume= or rerun= names is no run, and which runs lie below it."""

from __future__ import annotations

import os
import shlex
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from her_exp.hints import printable
from her_exp.types import UserError

_NAMED = 3  # runs in the line, at most
_SEARCHED = 2000  # folders looked into; what lies below may be a whole disk


def check_run(word: str, folder: Path) -> None:
    """Raise UserError in one line if `folder`, given as `word`=, holds no `config.yaml`."""
    if os.path.isfile(folder / "config.yaml"):  # Path's own raises where a name is too long
        return
    if not os.path.exists(folder):
        raise UserError(f"{word}={folder}: no such folder")
    if not folder.is_dir():
        raise UserError(f"{word}={folder}: a file, no run folder")
    names = [str(path.relative_to(folder)) for path in islice(_below(folder), _NAMED + 1)]
    if not names:
        raise UserError(f"{word}={folder}: no run folder, config.yaml is missing")
    named = printable(", ".join(names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")
    raise UserError(f"{word}={folder}: no run folder itself; give one below it: {named}")


def without_key(folder: str) -> str:
    """Return the line for a folder that stands alone on the command line of a training."""
    try:
        check_run("resume", Path(folder))
    except UserError as error:
        return str(error)
    again = [shlex.quote(f"{word}={folder}") for word in ("resume", "rerun")]
    return (
        f"{printable(folder)}: a run; write {again[0]} to go on with it, {again[1]} to run it again"
    )


def _below(root: Path) -> Iterator[Path]:
    """Yield the runs below a folder: high ones first, of those side by side the newest (named by times)."""
    queue = deque([str(root)])
    for _ in range(_SEARCHED):
        if not queue:
            return
        try:
            inside = sorted(os.scandir(queue.popleft()), key=lambda it: it.name, reverse=True)
        except OSError:
            continue
        for entry in inside:
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            if all(os.path.isfile(f"{entry.path}/{name}") for name in ("config.yaml", "run.json")):
                yield Path(entry.path)  # what lies in a run folder is its own
            else:
                queue.append(entry.path)
