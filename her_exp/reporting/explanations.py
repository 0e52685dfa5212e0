"""What each setting means: the comments of the files under `conf/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from her_exp import CONF_DIR
from her_exp.store.folder import flatten

_GROUPS = ("env", "buffer", "agent", "trainer")


class _File(NamedTuple):
    values: dict[str, Any]
    comments: dict[str, str]


def explain(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the explanation of each of a run's settings; of what no file explains, none.

    Files of a group may explain a key differently. The one counts that is most like the run.
    """
    found: dict[str, str] = {}
    for folder in _GROUPS:
        files = _files(folder)
        ordered = sorted(files, key=lambda file: -_likeness(file.values, settings))
        for file in ordered:
            for key, comment in file.comments.items():
                found.setdefault(key, comment)
    return {key: text for key, text in (found | _root()).items() if key in settings}


def _likeness(values: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    return sum(str(settings.get(key, ...)) == str(value) for key, value in values.items())


@cache
def _root() -> dict[str, str]:
    comments = comments_of(CONF_DIR / "config.yaml")
    return {key: text for key, text in comments.items() if "." not in key}


@cache
def _files(folder: str) -> list[_File]:
    files = []
    for path in sorted((CONF_DIR / folder).rglob("*.yaml")):
        values = flatten(yaml.safe_load(path.read_text()) or {})
        comments = comments_of(path)
        files.append(
            _File(
                {f"{folder}.{key}": value for key, value in values.items()},
                {f"{folder}.{key}": text for key, text in comments.items()},
            )
        )
    return files


def comments_of(path: Path) -> dict[str, str]:
    """Return the comment beside each dotted key, lines that go on below it included."""
    text = path.read_text()
    lines = text.splitlines()
    node = yaml.compose(text, yaml.SafeLoader)
    found = {}
    for key, row, column in _ends(node, ""):
        rest = lines[row][column:].strip()
        if not rest.startswith("#"):
            continue
        words = [rest.lstrip("# ")]
        for line in lines[row + 1 :]:
            if not (line.startswith(" ") and line.lstrip().startswith("#")):
                break
            words.append(line.strip().lstrip("# "))
        found[key] = " ".join(words)
    return found


def _ends(node: Any, prefix: str) -> Iterator[tuple[str, int, int]]:
    """Walk dotted keys with the row and column at which their values end."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            key = f"{prefix}.{name.value}" if prefix else str(name.value)
            if isinstance(value, yaml.ScalarNode) or value.flow_style:
                yield key, value.end_mark.line, value.end_mark.column
            else:
                yield from _ends(value, key)
