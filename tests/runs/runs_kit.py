"""What the tests of runs read from their folders, and signals at chosen moments of a run."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.equality import differences


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


def assert_same_run(one: Path, other: Path) -> None:
    """To the bit: numbers, policies, last state, and what became of the run."""
    assert numbers(one) == numbers(other)
    assert differences(last_state(one), last_state(other)) == []
    for name in ("last.pt", "best.pt"):
        pair = [torch.load(f / "checkpoints" / name, weights_only=True) for f in (one, other)]
        assert differences(*pair) == []
    results = [result_of(folder) for folder in (one, other)]
    for result in results:
        assert result.pop("train_seconds") <= result.pop("wall_seconds")
        for reached in result["reached"].values():
            del reached["train_seconds"]
    assert results[0] == results[1]


def assert_same_training(one: Path, other: Path) -> None:
    """To the bit: what was learned and played, however it was watched."""
    states = [last_state(path) for path in (one, other)]
    for part in ("agent", "buffer", "functions", "envs"):
        assert differences(states[0][part], states[1][part]) == [], part
    played = [[row for row in numbers(path) if row[1][:8] == "rollout/"] for path in (one, other)]
    assert played[0] == played[1]


class Stops:
    """Sends this process a signal ahead of the n-th calls of a method, counted over all resumes."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        owner: type,
        name: str,
        each: Callable[[], None] = lambda: None,
    ):
        self.at: set[int] = set()
        self.count = 0
        method = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            each()
            if self.count in self.at:
                os.kill(os.getpid(), signal.SIGUSR1)
            return method(*args, **kwargs)

        patch.setattr(owner, name, counted)
