"""What the tests of runs read from their folders: checkpoints, states, numbers, and where two differ."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import torch


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("state_*.pt"))


def last_state(folder: Path) -> dict[str, Any]:
    """The full state at the end: all but clocks, and the length of lines that hold clocks."""
    state = torch.load(checkpoints(folder)[-1], weights_only=True)
    assert state.keys() == {"envs", "agent", "buffer", "functions", "record", "clock", "log"}
    del state["clock"], state["log"]["csv_bytes"]
    return state


def numbers(folder: Path) -> list[tuple[int, str, str]]:
    """The lines of metrics.csv outside `time/`, the values as text: every digit counts."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["env_steps", "tag", "value"]
    assert all(len(row) == 3 for row in rows)
    return [(int(step), tag, text) for step, tag, text in rows[1:] if tag[:5] != "time/"]


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())
