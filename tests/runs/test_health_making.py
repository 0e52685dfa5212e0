"""Where the making of a run fails, nothing that it opened stays open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.training.build import make_trainer
from tests.runs.broken_envs import Line
from tests.runs.health_kit import RUN, Start


class Closed:
    """Notes which envs are made and closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.open: set[int] = set()
        make, close = Line.__init__, Line.close

        def making(env: Line, *args: Any, **kwargs: Any) -> None:
            make(env, *args, **kwargs)
            self.open.add(id(env))
            self.made = env  # alive, so that no id comes twice

        def closing(env: Line) -> None:
            self.open.discard(id(env))
            close(env)

        monkeypatch.setattr(Line, "__init__", making)
        monkeypatch.setattr(Line, "close", closing)


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_nothing_stays_open_where_making_fails(
    backend: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, made = Closed(monkeypatch), []
    make = GoalTask.make
    monkeypatch.setattr(GoalTask, "make", lambda *a, **k: made.append(make(*a, **k)) or made[-1])
    cfg = compose([*RUN, f"env.backend={backend}"])
    folder.mkdir()
    (folder / "metrics.csv").mkdir()  # the logger, which comes last, cannot open it
    with pytest.raises(IsADirectoryError):
        make_trainer(cfg, folder)
    assert len(made) == 2
    assert all(env.closed for env in made)
    for env in made:
        for process in getattr(env, "processes", ()):
            assert not process.is_alive()
    assert closed.open == set()


def test_a_run_closes_all_that_it_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Closed(monkeypatch)
    cfg = compose([*RUN, "trainer.total_steps=30"])
    validate(cfg)
    train(cfg, folder)
    assert closed.open == set()


def test_the_command_where_making_fails(folder: Path, start: Start) -> None:
    command = start("env.backend=async", "+env.fault=no_lanes")
    command.fails("died while it was made (exit code 1)")
    assert "ValueError: no more of me" in command.err
