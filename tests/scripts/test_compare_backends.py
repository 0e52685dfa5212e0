"""`scripts/compare_backends.py`: one policy, two backends, and whether they differ."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from her_exp.types import UserError


@pytest.fixture
def script(load: Any) -> ModuleType:
    module: ModuleType = load("compare_backends")
    return module


@pytest.mark.parametrize(
    ("counts", "interval"),
    [  # the examples of Newcombe's table II, method 10
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
    ],
)
def test_interval_of_a_difference(counts: Any, interval: Any, script: ModuleType) -> None:
    assert script.difference(*counts) == pytest.approx(interval, abs=1e-4)


@pytest.mark.parametrize(
    ("wins", "n", "says", "status"),
    [
        ((350, 317), 500, "DIFFERENT", 1),
        ((350, 340), 500, "the same", 0),
        ((0, 0), 500, "cannot tell", 3),
        ((50, 50), 100, "cannot tell", 3),  # within 27 points
    ],
)
def test_what_two_rates_say(
    wins: tuple[int, int], n: int, says: str, status: int, script: ModuleType
) -> None:
    assert script.verdict(*wins, n) == says
    assert script.STATUS[says] == status


def test_both_are_evaluated_and_compared(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trainer.total_steps=200", "trainer.learning_starts=100", "trainer.eval_episodes=2",
             "trainer.picture=false", "env.max_steps=10"]  # fmt: skip
    script.common.train(words, 0, tmp_path / "run")
    run = f"run={tmp_path / 'run'}"
    # A policy that knows nothing.
    assert script.command([run, "backends=native,sync", "episodes=40"]) == 3
    *_, native, sync, line, figures = capsys.readouterr().out.splitlines()
    assert (native.split(":")[0], sync.split(":")[0]) == ("native", "sync")
    assert line.startswith("cannot tell: native minus sync is ")
    told = json.loads(figures)
    assert (told["verdict"], told["episodes"]) == ("cannot tell", 40)
    with pytest.raises(UserError, match=r"env.backend.*tpu"):
        script.command([run, "backends=tpu,sync"])
