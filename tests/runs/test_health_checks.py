"""Learning that diverges and an env that fails end the run in one line, and no checkpoint holds it."""

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
from her_exp.training.checks import LearningCheck
from her_exp.types import EnvFailed, UserError
from tests.agents.kit import sac, tqc
from tests.runs.broken_envs import Line
from tests.runs.health_kit import RUN, assert_kept
from tests.runs.runs_kit import checkpoints, result_of

WILD = [
    "trainer.learning_starts=60", "trainer.total_steps=400", "trainer.updates_per_step=1",
    "agent.clip_targets=false", "agent.layer_norm=false", "agent.tau=1", "agent.critic_lr=30",
]  # fmt: skip


def test_diverged_learning_is_not_saved(folder: Path) -> None:
    line = r"^\|q_mean\| reached \d+.* while returns lie in \[-50, 0\] at env step \d+: .*diverged"
    with pytest.raises(UserError, match=line):
        train(compose([*RUN, *WILD]), folder)
    assert result_of(folder)["status"] == "failed"
    newest = load(checkpoints(folder)[-1])["record"]
    assert newest["env_steps"] >= 40
    pending = newest["pending"].get("q_mean", torch.zeros(1))
    assert float(pending.abs().max()) <= LearningCheck((-50.0, 0.0)).limit


def test_one_update_out_of_reach_is_seen_among_many() -> None:
    """A mean since the last line would dilute it."""
    check = LearningCheck((-50.0, 0.0))
    sane = [torch.tensor(-20.0)] * 500
    assert check.means({"q_mean": sane}, 1) == {"q_mean": -20.0}
    for wild in (-600.0, 600.0):
        with pytest.raises(UserError, match=r"\|q_mean\| reached 600 .* lie in \[-50, 0\]"):
            check.means({"q_mean": [*sane, torch.tensor(wild)]}, 1)
    with pytest.raises(UserError, match=r"^train/critic_loss is nan at env step 1: .*diverged"):
        check.means({"critic_loss": [torch.tensor(math.nan)]}, 1)
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


# --- an env that gives what cannot be used, or raises ----------------------------------------------

FAULTS = {
    "nan:observation": r"env: observation of lane 0 is nan at step \d+ of its episode",
    "reward": r"env: reward of lane 0 is nan at step \d+ of its episode",
    "shape:observation": r"env: step of lane 0 gave observation of shape \(1, 1\).*says \(1,\)",
    "dtype:achieved_goal": "env: step of lane 0 gave achieved_goal as <U1, its space says float32",
    "lacks:desired_goal": "env: step of lane 0 gave an observation without desired_goal",
    "raise": "env: step of lane 0 raised ValueError: lost the %s thread",
    "odd_raise": "env: step of lane 0 raised .*OfItsOwn: <function",
}


#: In a process of its own the same is looked at; what it says and what it raises must come across.
PROCESSES = ("nan:observation", "raise", "odd_raise")


@pytest.mark.parametrize(
    ("fault", "backend"),
    [*((fault, "sync") for fault in FAULTS), *((fault, "async") for fault in PROCESSES)],
)
def test_a_faulty_env_ends_the_run(fault: str, backend: str, folder: Path) -> None:
    Line.alive.clear()
    overrides = [*RUN, f"env.backend={backend}", f"+env.fault={fault!r}"]
    with pytest.raises(EnvFailed, match=rf"{FAULTS[fault]}.* \(env step 6\d of training\)"):
        train(compose(overrides), folder)
    result = result_of(folder)
    assert result["status"] == "failed"
    assert "\n" not in result["reason"]
    assert 60 <= result["env_steps"] < 70
    assert_kept(folder)
    assert Line.alive == []  # all is closed
