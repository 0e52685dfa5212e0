"""The house: which room may import from which, no circles, nothing too large."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import her_exp

HOUSE = Path(her_exp.__file__).parent
PLUGINS = HOUSE.parent / "hydra_plugins" / "her_exp"

#: From the ground up. A room imports from rooms of the lines above its own, never from its neighbours.
FLOORS = [
    {"__init__", "distance"},
    {"types"},
    {"limits", "text"},
    {"values", "rounding", "system"},
    {"learning", "data"},
    {"agents", "buffers", "envs"},
    {"config"},
    {"store", "check", "together"},
    {"training"},
    {"run", "evaluate"},
    {"sweeps", "reporting"},
    {"report"},
    {"train", "hydra_plugins"},
]


def files() -> list[Path]:
    return [*sorted(HOUSE.rglob("*.py")), *sorted(PLUGINS.glob("*.py"))]


def module(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, anywhere in it, for types alone included."""
    known = {module(file) for file in files()}
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            each = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in each]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name in known and name != module(path))


def room(name: str) -> str:
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] or "__init__" if first == "her_exp" else first


def floor(name: str) -> int:
    return next(n for n, rooms in enumerate(FLOORS) if room(name) in rooms)


@pytest.mark.parametrize("path", files(), ids=module)
def test_a_room_imports_from_below_alone(path: Path) -> None:
    here = module(path)
    upwards = [
        name for name in imported(path) if room(name) != room(here) and floor(name) >= floor(here)
    ]
    assert upwards == []


def test_no_file_imports_itself_by_way_of_others() -> None:
    arrows = {module(path): set(imported(path)) for path in files()}
    while leaves := [name for name, targets in arrows.items() if not targets]:
        for leaf in leaves:
            del arrows[leaf]
        for targets in arrows.values():
            targets -= set(leaves)
    assert arrows == {}


def test_a_room_holds_few_files_and_a_file_few_lines() -> None:
    folders: dict[Path, int] = {}
    for path in files():
        folders[path.parent] = folders.get(path.parent, 0) + 1
        assert len(path.read_text().splitlines()) <= 300, path
    assert folders.pop(HOUSE) <= 12
    assert max(folders.values()) <= 16
