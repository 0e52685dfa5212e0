"""Where the making of a run fails, nothing that it opened stays open."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.run import train
from her_exp.training.build import make_trainer
from tests.runs.broken_envs import Line
from tests.runs.health_kit import RUN


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_nothing_stays_open_where_making_fails(backend: str, folder: Path) -> None:
    Line.alive.clear()
    folder.mkdir()
    (folder / "metrics.csv").mkdir()  # the logger, which comes last, cannot open it
    with pytest.raises(IsADirectoryError):
        make_trainer(compose([*RUN, f"env.backend={backend}"]), folder)
    assert Line.alive == []
    assert multiprocessing.active_children() == []


def test_a_run_closes_all_that_it_opened(folder: Path) -> None:
    Line.alive.clear()
    train(compose([*RUN, "trainer.total_steps=30"]), folder)
    assert Line.alive == []
