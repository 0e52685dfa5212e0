"""What the scripts share: timing in pairs, training, tables, the machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

# -- timing --------------------------------------------------------------------------------------


def seconds_a_call(run: Callable[[], object], calls: int) -> float:
    """Return the mean wall time of `calls` calls."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def in_turn(
    ways: dict[str, Callable[[], object]], pairs: int, seconds: float = 0.3
) -> dict[str, list[float]]:
    """Time each way in turn, `pairs` times over: A B A B ...; returns seconds a call.

    Args:
        ways: what to call, by name.
        pairs: rounds.
        seconds: how long a visit lasts.
    """
    calls = {}
    for name, run in ways.items():
        run()
        calls[name] = max(1, round(seconds / max(seconds_a_call(run, 2), 1e-9)))
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(pairs):
        for name, run in ways.items():
            spent[name].append(seconds_a_call(run, calls[name]))
    return spent


class Spread(NamedTuple):
    """Median, lowest and highest of a few measurements."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = sum(abs(self.median) < bound for bound in (100, 10, 1))
        median, low, high = (f"{value:,.{digits}f}" for value in self)
        return f"{median} ({low}-{high})"

    def figures(self) -> list[float]:
        """The three as numbers of four digits, for the JSON line."""
        return [float(f"{value:.4g}") for value in self]


def spread(values: Iterable[float]) -> Spread:
    """Return the spread of `values`."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Return the spread of the quotients pair by pair."""
    return spread(a / b for a, b in zip(above, below, strict=True))


# -- training --------------------------------------------------------------------------------------


def train(overrides: list[str], seed: int, folder: Path) -> dict[str, Any]:
    """Run `python -m her_exp.train` in a process of its own; returns its result.json.

    A folder that holds a part of this run is gone on with; one that is done is not trained again.
    """
    where = [f"hydra.run.dir='{folder}'"]
    if (folder / "config.yaml").exists():
        where = ["resume=auto", f"run_dir={folder}"]
    command = [sys.executable, "-m", "her_exp.train", *overrides, f"seed={seed}", *where]
    command += ["trainer.progress=false"]
    ours = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]  # networks of scripts/
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, ours))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads((folder / "result.json").read_text())


# -- telling -------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown with aligned columns."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(cells[0]), line(["-" * w for w in widths]), *map(line, cells[1:])])


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, packages, threads."""

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "none"

    names = ("torch", "numpy", "gymnasium", "stable-baselines3")
    return {
        "cpu": _cpu(),
        "python": platform.python_version(),
        **{name: installed(name) for name in names},
        "threads": torch.get_num_threads(),
    }


def _cpu() -> str:
    def of(key: str) -> Iterator[str]:
        for line in lines:
            if line.split(":")[0].strip() == key:
                yield line.split(":", 1)[1].strip()

    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = info.read_text().splitlines()
    names = list(of("model name"))
    family, model = next(of("cpu family"), "?"), next(of("model"), "?")
    name = names[0] if names else platform.machine()
    return f"{name}, family {family} model {model}, {len(names)} cores"


def last_line(**figures: Any) -> None:
    """Print the one JSON line that ends a benchmark."""
    print(json.dumps(figures))
