"""Files of a run folder: regular ones within it alone, bounded when read, written whole or not at all.

A folder may be a stranger's. A link in it may lead anywhere and a pipe may hold its reader up for ever, so
neither is opened; JSON and YAML are data with bounds.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path, PurePath
from typing import IO, Any

import yaml

from her_exp.text import printable
from her_exp.types import UserError

LARGEST = 1_000_000  #: bytes of a config or a JSON file; ours have a few thousand
_LEAVES = 10_000  # values of a config, at most; ours have about a hundred
_DEEPEST = 30  # levels of a config or a JSON file, at most


def open_file(folder: Path, name: str, mode: str = "r", **how: Any) -> IO[Any]:
    """Open a regular file below a folder; no part of `name` may be a link.

    Raises:
        OSError: it is not there, a link, or no regular file.
    """

    def opener(_: str, flags: int) -> int:
        *above, last = PurePath(name).parts
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in above:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = inner
            # Not blocking: to open a pipe would be to wait.
            flags |= os.O_NOFOLLOW | os.O_NONBLOCK
            number = os.open(last, flags, 0o666, dir_fd=at)
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError("no file")
        return number

    try:
        return open(folder / name, mode, opener=opener, **how)
    except OSError as error:
        if os.path.islink(folder / name):
            raise OSError("no file") from error  # a link
        raise


def check_plain(
    folder: Path, paths: Iterable[Path], folders: Collection[str] | None = None
) -> None:
    """Raise UserError if one of these paths below a folder leads out of it, or is no regular file.

    Folders are all right; with `folders`, those of these names alone.
    """
    for path in paths:
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            wrong = "is a link"
        elif stat.S_ISDIR(about.st_mode) and folders is not None and path.name not in folders:
            wrong = "is a folder"
        elif not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            wrong = "is no regular file"
        elif stat.S_ISREG(about.st_mode) and about.st_nlink > 1:
            wrong = "has a second name elsewhere (a hard link)"
        else:
            continue
        name = printable(f"{folder}: {path.relative_to(folder)}")
        raise UserError(f"{name} {wrong}, which is not written to; put a copy in its place")


# --- reading -----------------------------------------------------------------------------------


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object; what is missing, damaged or no object reads as an empty one."""
    try:
        return load_json(folder, name)
    except (OSError, ValueError):
        return {}


def load_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large or too deep, or no JSON object.
    """
    try:
        content = json.loads(_text(folder, name), parse_constant=lambda _: None)
    except RecursionError as error:
        raise ValueError("too deep") from error
    return _mapping(content)


def load_yaml(folder: Path, name: str) -> dict[str, Any]:
    """Read a YAML mapping of texts, numbers, truth values and nulls, as OmegaConf writes them.

    Raises:
        OSError, ValueError: as `load_json`; aliases and tags are refused too.
    """
    text, level, leaves = _text(folder, name), 0, 0
    try:
        for event in yaml.parse(text, yaml.CSafeLoader):
            opens = isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent)
            level += opens - isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent)
            leaves += isinstance(event, yaml.ScalarEvent)
            if isinstance(event, yaml.AliasEvent):  # a few of them make a small file endless
                raise ValueError("has aliases")
            if getattr(event, "tag", None) not in (None, "!"):
                raise ValueError(f"has the tag {event.tag}")
            if level > _DEEPEST:
                raise ValueError(f"more than {_DEEPEST} levels")
            if leaves > 2 * _LEAVES:  # keys and values
                raise ValueError(f"more than {_LEAVES:,} values")
        return _mapping(yaml.load(text, _Loader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """Knows 1e-3 as a number, as OmegaConf does, and no dates."""


_Loader.yaml_implicit_resolvers = {
    sign: [pair for pair in pairs if not pair[0].endswith("timestamp")]
    for sign, pairs in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _text(folder: Path, name: str) -> str:
    with open_file(folder, name, "rb") as file:
        content: bytes = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST:,} bytes")
    return content.decode()


def _mapping(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError("no mapping")
    return {key: _checked(value, 1) for key, value in content.items()}


def _checked(value: Any, level: int) -> Any:
    """Return a value that can be written again, or raise ValueError."""
    if level > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} levels")
    if isinstance(value, dict):
        return {_checked(key, level): _checked(each, level + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_checked(each, level + 1) for each in value]
    if isinstance(value, str):  # half a surrogate pair, which JSON and YAML allow, cannot be
        return value.encode(errors="replace").decode()
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("a number must be below 2**63")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError(f"holds a {type(value).__name__}")


# --- writing -----------------------------------------------------------------------------------


def write_json(folder: Path, name: str, content: Any, suffix: str = ".tmp") -> None:
    """Write JSON as `write_text` does. What is not finite becomes null, since JSON knows no NaN."""
    write_text(folder, name, json.dumps(_finite(content), indent=2) + "\n", suffix)


def write_text(folder: Path, name: str, text: str, suffix: str = ".tmp") -> None:
    """Write a text as `write_bytes` does."""
    write_bytes(folder, name, text.encode(errors="replace"), suffix)


def write_bytes(folder: Path, name: str, content: bytes, suffix: str = ".tmp") -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one.

    `suffix` names the temporary file; where several processes may write at once it must differ.
    """
    temporary = name + suffix
    try:
        with open_file(folder, temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (folder / temporary).replace(folder / name)
    except OSError:
        with suppress(OSError):
            (folder / temporary).unlink()
        raise
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Bring a rename onto the disk: without it a power cut may undo what the file's fsync kept."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
