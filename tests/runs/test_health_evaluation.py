"""A signal during an evaluation stops the run at once, and the evaluation is made up for."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.run import resume, train
from her_exp.store.checkpoint import load
from her_exp.system.signals import Stopped
from her_exp.training.rollout import Rollout
from tests.runs.health_kit import RUN, Start
from tests.runs.runs_kit import Stops, assert_same_run, checkpoints, result_of

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
    """Its time is no training: the clock moves in evaluations alone, a second a step."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    cfg, at = GIVEN_UP[case]
    train(compose(cfg), folder.parent / "whole")

    def tick() -> None:
        now[0] += 1.0

    stops = Stops(monkeypatch, Rollout, "step", tick)  # evaluations alone use it
    stops.at = at
    with pytest.raises(Stopped):
        train(compose(cfg), folder, cfg)
    assert result_of(folder)["status"] == "stopped"
    for _ in range(len(at) - 1):
        with pytest.raises(Stopped):
            resume(folder, trust=["tests"])
        assert result_of(folder)["train_seconds"] == 0.0
    resume(folder, trust=["tests"])
    assert stops.count > max(at)
    result = result_of(folder)
    assert (result["train_seconds"], result["wall_seconds"]) == (0.0, now[0] - 100.0)
    assert_same_run(folder, folder.parent / "whole")


def test_ctrl_c_during_an_evaluation(folder: Path, start: Start) -> None:
    """It does not wait for the end of the evaluation."""
    command = start(
        "env.backend=sync", "+env.pause=0.01", "trainer.eval_every=60",
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
