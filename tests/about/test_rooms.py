"""The house: which room may import from which, no circles, nothing too large."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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


def module(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module(path): path for path in [*HOUSE.rglob("*.py"), *PLUGINS.glob("*.py")]}


def imported(name: str) -> Iterator[str]:
    """Yield the modules of ours that one imports, anywhere in it, for types alone included."""
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            each = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [one if one in FILES else node.module for one in each]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (one for one in names if one in FILES and one != name)


ARROWS = {name: set(imported(name)) for name in FILES}


def room(name: str) -> str:
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] or "__init__" if first == "her_exp" else first


def floor(name: str) -> int:
    return next(n for n, rooms in enumerate(FLOORS) if room(name) in rooms)


def test_a_room_imports_from_below_alone() -> None:
    arrows = [(here, to) for here, each in ARROWS.items() for to in each if room(here) != room(to)]
    assert [arrow for arrow in arrows if floor(arrow[1]) >= floor(arrow[0])] == []
    assert len(arrows) > 100


def test_no_file_imports_itself_by_way_of_others() -> None:
    arrows = {name: set(each) for name, each in ARROWS.items()}
    while leaves := {name for name, targets in arrows.items() if not targets}:
        arrows = {name: each - leaves for name, each in arrows.items() if name not in leaves}
    assert arrows == {}


def test_a_room_holds_few_files_and_a_file_few_lines() -> None:
    folders = Counter(path.parent for path in FILES.values())
    assert [path for path in FILES.values() if len(path.read_text().splitlines()) > 300] == []
    assert folders.pop(HOUSE) <= 12
    assert max(folders.values()) <= 16
