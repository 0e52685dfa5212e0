"""Checkpoints that follow each other too closely for an episode to end are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.run import resume, train
from her_exp.store.checkpoint import load
from her_exp.system.signals import Stopped
from her_exp.training.rollout import Rollout
from her_exp.types import UserError
from tests.runs.health_kit import RUN
from tests.runs.runs_kit import Stops, checkpoints, result_of

#: Nobody is told how long an episode is: it is seen while the run is on.
UNTOLD = [*RUN, "env.id=broken/Untold-v0", "+env.ends=10"]
ENDLESS = "no episode ended since the last checkpoint"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([*RUN, "trainer.checkpoint_every=39"], r"39: must be at least 40, .*\(2 x 10 .* x 2 lanes\)"),
        ([*RUN, "trainer.checkpoint_every=40"], None),
        (["trainer.checkpoint_every=799"], r"799: must be at least 800, .*\(2 x 50 .* x 8 lanes\)"),
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


def test_checkpoints_between_which_nothing_ends(folder: Path) -> None:
    overrides = [*UNTOLD, "env.ends=70", "trainer.total_steps=200"]
    with pytest.raises(UserError, match=ENDLESS):
        train(compose(overrides), folder)
    train(compose([*overrides, "trainer.short_checkpoints=true"]), folder.parent / "short")


def test_checkpoints_between_which_nothing_ends_after_a_resume(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the evaluation before the checkpoint was given up, and the resume makes up for it."""
    train(compose([*UNTOLD, "trainer.total_steps=40", "trainer.eval_every=40"]), folder)
    config = OmegaConf.load(folder / "config.yaml")
    config.env.ends = 70
    OmegaConf.save(config, folder / "config.yaml")
    longer = ["trainer.total_steps=120"]
    Stops(monkeypatch, Rollout, "step").at = {5}
    with pytest.raises(Stopped):
        resume(folder, longer, trust=["tests"])
    with pytest.raises(UserError, match=ENDLESS):
        resume(folder, longer, trust=["tests"])
    assert load(checkpoints(folder)[-1])["record"]["env_steps"] == 80


def test_stops_that_cut_episodes_are_no_fault_of_the_schedule(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each resume begins its episodes again: none ends between two checkpoints of the schedule."""
    Stops(monkeypatch, HindsightReplayBuffer, "add").at = {30, 39}  # 9 steps after a reset, each
    with pytest.raises(Stopped):
        train(compose(RUN), folder)
    with pytest.raises(Stopped):
        resume(folder, trust=["tests"])
    resume(folder, trust=["tests"])
    assert result_of(folder)["status"] == "done"
