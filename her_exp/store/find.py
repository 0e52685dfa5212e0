"""Finds run folders by the files in them, and says why another folder is none."""

from __future__ import annotations

import glob
import os
import shlex
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from her_exp.config.hydra_api import job_name
from her_exp.store.folder import CONFIG, RESULT, STORY, check_same, is_run
from her_exp.text import did_you_mean, printable, tell
from her_exp.types import UserError

_NAMED = 3  # runs in the line, at most
_SEARCHED = 2000  # folders looked into; what lies below may be a whole disk


def job_folder(override_dirname: str | None, _root_: DictConfig) -> str:
    """Name a sweep job's folder: the one that holds its very experiment, else by its overrides.

    That one may have another name: the sweep had fewer keys when it was made.
    """
    name, sweep = job_name(override_dirname, _root_), _root_.hydra.sweep.dir
    for there in sorted(Path(sweep).glob(f"*_{name.rpartition('_')[2]}")):
        with suppress(UserError, OSError):  # six digits alike are not the same experiment
            if is_run(there):
                check_same(there, _root_)
                return there.name
    return name


OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)


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
    for path, names, _ in os.walk(root):
        if is_run(Path(path)):
            names.clear()  # what lies in a run folder is its own
            yield Path(path)
        names[:] = [name for name in names if not name.startswith(".")]


def named(word: str, text: str) -> Path:
    """Return the folder that `word`=text names; 'latest' is the run under outputs/ that trained last.

    Which one that is, is told.

    Raises:
        UserError: there is no run under outputs/.
    """
    if text != "latest":
        return Path(text)
    newest = max(_below(Path("outputs").absolute()), key=_last_trained, default=None)
    if newest is None:
        raise UserError(f"{word}=latest: no run under {Path.cwd()}/outputs; give {word}=FOLDER")
    tell(f"{word}=latest: {newest}", sys.stderr)
    return newest


def _last_trained(folder: Path) -> float:
    files = [folder / name for name in (STORY, RESULT)]  # written at the start, and as it goes on
    return max((file.lstat().st_mtime for file in files if os.path.lexists(file)), default=0.0)


def check_run(word: str, folder: Path) -> None:
    """Raise UserError in one line if `folder`, given as `word`=, holds no `config.yaml`."""
    if os.path.isfile(folder / CONFIG):  # Path's own raises where a name is too long
        return
    if not os.path.exists(folder):
        hint = did_you_mean(str(folder), ["latest"])
        raise UserError(f"{word}={folder}: no such folder{'; ' * bool(hint)}{hint}")
    if not folder.is_dir():
        raise UserError(f"{word}={folder}: a file, no run folder")
    names = [shlex.quote(str(path)) for path in islice(_nearest(folder), _NAMED + 1)]
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


def _nearest(root: Path) -> Iterator[Path]:
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
            if is_run(Path(entry.path)) and os.path.isfile(f"{entry.path}/{CONFIG}"):
                yield Path(entry.path)  # what lies in a run folder is its own
            else:
                queue.append(entry.path)
