"""Checkpoints that follow each other too closely for an episode to end are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.run import resume, train
from her_exp.store.checkpoint import load
from her_exp.system.signals import Stopped
from her_exp.types import UserError
from tests.runs.health_kit import RUN, Start, StopsInEvaluation
from tests.runs.runs_kit import checkpoints


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([*RUN, "trainer.checkpoint_every=39"], r"39: must be at least 40, .*\(2 x 10 .* x 2 lanes\)"),
        ([*RUN, "trainer.checkpoint_every=40"], None),
        ([*RUN, "+env.max_episode_steps=5", "trainer.checkpoint_every=19"], "at least 20"),
        (["trainer.checkpoint_every=799"], r"799: must be at least 800, .*\(2 x 50 .* x 8 lanes\)"),
        (["experiment=bit_flip", "trainer.checkpoint_every=200"], "at least 240"),
        (["trainer.checkpoint_every=799", "trainer.short_checkpoints=true"], None),
        (["trainer.checkpoint_every=6000", "env.max_steps=999"], None),  # the run ends before
        (["trainer.checkpoint_every=null"], None),
    ],
)  # fmt: skip
def test_two_episodes_of_every_lane_fit_between_checkpoints(
    overrides: list[str], line: str | None
) -> None:
    if line is None:
        validate(compose(overrides))
        return
    with pytest.raises(UserError, match=rf"trainer\.checkpoint_every=.*{line}") as refused:
        validate(compose(overrides))
    assert "\n" not in str(refused.value)


def test_the_command_refuses_short_checkpoints(folder: Path, start: Start) -> None:
    command = start("trainer.checkpoint_every=30")
    assert command.process.wait(60) == 2
    line = command.err.splitlines()[-1]  # the first one notes that the key was given twice
    assert line.startswith("her_exp: error: trainer.checkpoint_every=30: must be at least 40, two ")
    assert not folder.exists()


def test_checkpoints_between_which_nothing_ends(folder: Path) -> None:
    """Where the length of an episode is not known beforehand, it is seen while it runs."""
    overrides = [*RUN, "+env.max_episode_steps=70", "trainer.total_steps=200"]
    with pytest.raises(UserError, match="no episode ended since the last checkpoint"):
        train(compose(overrides), folder)
    train(compose([*overrides, "trainer.short_checkpoints=true"]), folder.parent / "short")


@pytest.mark.parametrize("stopped", [False, True])
def test_checkpoints_between_which_nothing_ends_after_a_resume(
    stopped: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the evaluation before the checkpoint was given up, and the resume makes up for it."""
    train(compose([*RUN, "trainer.total_steps=40", "trainer.eval_every=40"]), folder)
    config = OmegaConf.load(folder / "config.yaml")
    config.env.max_episode_steps = 70  # episodes become longer than the run has seen
    OmegaConf.save(config, folder / "config.yaml")
    monkeypatch.setattr("her_exp.run.validate", lambda cfg: None)  # it would see that beforehand
    going_on = lambda: resume(folder, ["trainer.total_steps=120"], trust=["tests"])  # noqa: E731
    if stopped:
        stops = StopsInEvaluation(monkeypatch)
        stops.at = {5}
        with pytest.raises(Stopped):
            going_on()
    with pytest.raises(UserError, match="no episode ended since the last checkpoint"):
        going_on()
    assert load(checkpoints(folder)[-1])["record"]["env_steps"] == (80 if stopped else 40)
