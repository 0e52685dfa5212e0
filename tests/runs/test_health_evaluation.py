"""A signal during an evaluation stops the run at once, and the evaluation is made up for."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from her_exp.config.compose import compose
from her_exp.run import resume, train
from her_exp.store.checkpoint import load
from her_exp.system.signals import Stopped
from her_exp.training.rollout import Rollout
from tests.equality import differences
from tests.runs.health_kit import RUN, Command, StopsInEvaluation
from tests.runs.runs_kit import checkpoints, last_state, numbers, result_of

GIVEN_UP = {
    # A native env is saved as it is, wherever the evaluation falls. Evaluations take 10 steps each:
    # at 30, 60, 90, 120 (where a checkpoint is due as well) and at the end, again after each stop.
    "native": (["env.max_steps=10", "env.num_envs=2", "env.num_eval_envs=2", *RUN[6:],
                "trainer.eval_every=30", "trainer.total_steps=130"], {5, 19, 26, 48, 53, 66}),
    # Others are cut by a stop, but not where a checkpoint cuts them anyway.
    "sync": ([*RUN, "trainer.eval_every=40"], {5, 12, 19, 31, 45}),
}  # fmt: skip


@pytest.mark.parametrize("case", GIVEN_UP)
def test_an_evaluation_given_up_is_made_up_for(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, at = GIVEN_UP[case]
    train(compose(cfg), folder.parent / "whole")
    stops = StopsInEvaluation(monkeypatch)
    stops.at = at
    with pytest.raises(Stopped):
        train(compose(cfg), folder, cfg)
    assert result_of(folder)["status"] == "stopped"
    for _ in range(len(at) - 1):
        with pytest.raises(Stopped):
            resume(folder, trust=["tests"])
    resume(folder, trust=["tests"])
    assert stops.count > max(at)
    assert numbers(folder) == numbers(folder.parent / "whole")
    assert differences(last_state(folder), last_state(folder.parent / "whole")) == []


def test_the_time_of_an_evaluation_given_up_is_no_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time stands still but in evaluations, of which each step takes a second."""
    stops, now = StopsInEvaluation(monkeypatch), [100.0]
    stops.at = {5, 19, 26}
    step = Rollout.step

    def stepping(rollout: Rollout, policy: Any) -> Any:
        now[0] += 1.0
        return step(rollout, policy)

    monkeypatch.setattr(Rollout, "step", stepping)
    monkeypatch.setattr("her_exp.training.clock.time", SimpleNamespace(perf_counter=lambda: now[0]))
    cfg = GIVEN_UP["native"][0]
    with pytest.raises(Stopped):
        train(compose(cfg), folder, cfg)
    assert result_of(folder)["train_seconds"] == 0.0
    for _ in range(2):
        with pytest.raises(Stopped):
            resume(folder)
        assert result_of(folder)["train_seconds"] == 0.0
    resume(folder)
    result = result_of(folder)
    assert result["train_seconds"] == 0.0
    assert result["wall_seconds"] == now[0] - 100.0


def test_ctrl_c_during_an_evaluation(folder: Path) -> None:
    """It does not wait for the end of the evaluation."""
    command = Command(
        folder, "env.backend=sync", "+env.pause=0.01", "trainer.eval_every=60",
        "trainer.eval_episodes=100000",
    )  # fmt: skip
    command.until(lambda: len(checkpoints(folder)) > 0)
    time.sleep(2)  # 20 steps of two lanes take 0.4 s
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(30) == 130, command.err
    result = result_of(folder)
    assert (result["status"], result["env_steps"], result["eval"]) == ("stopped", 60, None)
    state = load(checkpoints(folder)[-1])["record"]
    assert (state["env_steps"], state["evaluation_due"]) == (60, True)
