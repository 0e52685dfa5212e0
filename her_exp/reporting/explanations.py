"""What each setting means: the comments of the files under `conf/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from her_exp import CONF_DIR
from her_exp.store.folder import flatten

_GROUPS = ("env", "buffer", "agent", "trainer")


def explain(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the explanation of each of a run's settings; of what no file explains, none.

    Files of a group may explain a key differently. The one counts that is most like the run.
    """

    def likeness(file: tuple[dict[str, Any], dict[str, str]]) -> int:
        return sum(str(settings.get(key, ...)) == str(value) for key, value in file[0].items())

    found = {
        key: text for key, text in comments_of(CONF_DIR / "config.yaml").items() if "." not in key
    }
    for folder in _GROUPS:
        for _, comments in sorted(_files(folder), key=likeness, reverse=True):
            found = comments | found
    return {key: text for key, text in found.items() if key in settings}


@cache
def _files(folder: str) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Return values and comments of each file of a group, under the keys that a run has."""
    files = []
    for path in sorted((CONF_DIR / folder).rglob("*.yaml")):
        values = flatten(yaml.safe_load(path.read_text()) or {})
        files.append((_below(folder, values), _below(folder, comments_of(path))))
    return files


def _below(folder: str, part: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{folder}.{key}": value for key, value in part.items()}


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
