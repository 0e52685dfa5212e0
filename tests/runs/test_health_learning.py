"""Learning that diverges ends the run as `failed`, in one line, and no checkpoint holds it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from her_exp.agents.ddpg import DDPG
from her_exp.agents.sac import SAC
from her_exp.config.compose import compose
from her_exp.run import train
from her_exp.store.checkpoint import load
from her_exp.training.build import make_trainer
from her_exp.training.checks import LearningCheck, check_agent
from her_exp.types import UserError
from tests.agents.kit import sac, tqc
from tests.runs.health_kit import RUN, assert_kept, finite
from tests.runs.runs_kit import checkpoints, result_of

LATE = ["trainer.learning_starts=60", "trainer.total_steps=400", "trainer.updates_per_step=1"]
WILD = ["agent.clip_targets=false", "agent.layer_norm=false", "agent.tau=1"]
DIVERGED = {
    "loss": (["agent.critic_lr=1e30"], r"train/critic_loss is (nan|inf) at env step"),
    "q": (
        [*WILD, "agent.critic_lr=30"],
        r"\|q_mean\| reached \d+.* while returns lie in \[-50, 0\] at env step",
    ),
}


@pytest.mark.parametrize("kind", DIVERGED)
def test_diverged_learning_is_not_saved(kind: str, folder: Path) -> None:
    overrides, reason = DIVERGED[kind]
    with pytest.raises(UserError, match=f"{reason}.*learning has diverged"):
        train(compose([*RUN, *LATE, *overrides]), folder)
    assert result_of(folder)["status"] == "failed"
    newest = load(checkpoints(folder)[-1])
    assert newest["record"]["env_steps"] >= 40
    limit = LearningCheck((-50.0, 0.0)).limit
    pending = newest["record"]["pending"].get("q_mean", torch.zeros(1))
    assert float(pending.abs().max()) <= limit
    assert finite(newest["agent"])


def test_one_update_out_of_reach_is_seen_among_many() -> None:
    """A mean since the last line would dilute it."""
    check = LearningCheck((-50.0, 0.0))
    sane = [torch.tensor(-20.0)] * 500
    assert check.means({"q_mean": sane}, 1) == {"q_mean": -20.0}
    for wild in (-600.0, 600.0):
        with pytest.raises(UserError, match=r"\|q_mean\| reached 600 .* lie in \[-50, 0\]"):
            check.means({"q_mean": [*sane, torch.tensor(wild)]}, 1)
    # An overshoot, an entropy bonus and the values of fresh networks are no divergence.
    assert check.limit >= 10 * 50
    assert LearningCheck((0.0, 0.001)).limit >= 10
    LearningCheck(None).means({"q_mean": [torch.tensor(1e9)]}, 1)  # the range is unknown


@pytest.mark.parametrize("make", [sac, tqc])
def test_a_large_entropy_bonus_is_no_divergence(make: Callable[..., SAC]) -> None:
    """Its worth makes Q large, and learning sound; targets are clipped to rewards as before."""
    settings: dict[str, Any] = {"gamma": 0.98, "clip_targets": True}
    agent = make(entropy=4.0, **settings)
    bonus = 4 * agent.action_dim * math.log(2) / (1 - 0.98)
    assert agent.return_range == pytest.approx((-50.0, bonus))
    assert agent.target_range == pytest.approx((-50.0, 0.0))
    check = LearningCheck(agent.return_range)
    check.means({"q_mean": [torch.tensor(9 * bonus)]}, 0)
    with pytest.raises(UserError, match="learning has diverged"):
        check.means({"q_mean": [torch.tensor(12 * bonus)]}, 0)
    assert make(entropy="auto", **settings).return_range is None  # the temperature may grow


def test_parameters_are_looked_at_wherever_they_stand() -> None:
    good = {"learners": {"critic": [torch.ones(2), {"step": 3}]}, "mask": torch.tensor(-math.inf)}
    check_agent(good)
    good["learners"]["critic"][0][1] = math.nan  # type: ignore[index]
    with pytest.raises(UserError, match=r"agent\.learners\.critic\.0 holds nan: .*diverged"):
        check_agent(good)


class SpoiltAtLast(DDPG):
    """Its last update before a checkpoint spoils the critic after its own loss was computed."""

    def update(self, batch: Any) -> Any:
        told = super().update(batch)
        self.count = getattr(self, "count", 0) + 1
        if self.count == 18:  # all that are due at step 80
            with torch.no_grad():
                next(self.nets.critic.parameters()).view(-1)[0] = math.nan
        return told


def test_spoilt_parameters_do_not_become_a_checkpoint(folder: Path) -> None:
    words = [*RUN, f"agent._target_={__name__}.SpoiltAtLast", "trainer.learn_every=40"]
    with pytest.raises(UserError, match=r"agent\.learners\.critic.* holds nan"):
        train(compose([*words, "trainer.log_every=1000"]), folder)
    assert_kept(folder)


def test_a_buffer_that_does_not_say_its_share_trains(folder: Path) -> None:
    """What the trainer can do without, a buffer of one's own need not have."""
    (folder / "checkpoints").mkdir(parents=True)
    trainer = make_trainer(compose(RUN), folder)
    del trainer.buffer.achieved_share  # type: ignore[attr-defined]
    trainer.fit()
    assert result_of(folder)["status"] == "done"
