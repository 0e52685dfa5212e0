"""A run that was stopped and resumed is, bit for bit, the run that never stopped."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.config.compose import compose
from her_exp.run import resume, train
from her_exp.system.signals import Stopped
from her_exp.training.rollout import Rollout
from tests.runs.health_kit import RUN
from tests.runs.resume_kit import CASES, ENVS, NATIVE, NeverStopped, killed_at, words
from tests.runs.runs_kit import (
    Stops,
    assert_same_run,
    assert_same_training,
    checkpoints,
    numbers,
    result_of,
)

# --- stop + resume = never stopped --------------------------------------------------------------


@pytest.mark.parametrize(("agent", "env"), CASES)
def test_resumed_at_a_checkpoint(
    agent: str, env: str, never_stopped: NeverStopped, tmp_path: Path
) -> None:
    source = never_stopped(agent, env)
    kinds = [torch.load(path, weights_only=True)["envs"]["kind"] for path in checkpoints(source)]
    assert kinds == ["barrier", "barrier", "exact" if ENVS[env][1] else "cut"]
    assert torch.load(checkpoints(source)[0], weights_only=True)["record"]["updates"] > 0
    for number in range(3):
        folder = killed_at(source, number, tmp_path / str(number))
        resume(folder, trust=["gymnasium_robotics"])
        assert_same_run(source, folder)


WATCHING = {
    "nothing": ["trainer.eval_every=null", "trainer.picture=false", "trainer.log_every=400"],
    "more": [
        "trainer.eval_every=40",
        "trainer.log_every=10",
        "trainer.progress=true",
        "trainer.eval_episodes=5",
        "env.num_eval_envs=1",
    ],
}


@pytest.mark.parametrize("watching", WATCHING)
@pytest.mark.parametrize(("agent", "env"), [("ddpg", "point_reach"), ("dqn", "sync_flip")])
def test_watching_otherwise_after_a_resume(
    watching: str, agent: str, env: str, never_stopped: NeverStopped, tmp_path: Path
) -> None:
    source = never_stopped(agent, env)
    folder = killed_at(source, 0, tmp_path / "run")
    resume(folder, WATCHING[watching])
    assert_same_training(source, folder)


def test_the_buffers_numbers_are_logged_also_before_the_next_draw(tmp_path: Path) -> None:
    """Log lines that fall between a resume and the next learning phase."""
    schedule = ["trainer.learn_every=100", "trainer.log_every=40", "trainer.checkpoint_every=130"]
    overrides = words("ddpg", "point_reach", *schedule)
    train(compose(overrides), tmp_path / "whole", overrides)
    folder = killed_at(tmp_path / "whole", 0, tmp_path / "run")
    resume(folder)
    assert numbers(tmp_path / "whole") == numbers(folder)


@pytest.mark.parametrize("env", ["point_reach", "sync_reach"])
def test_a_longer_run_equals_one_that_was_long_from_the_start(
    env: str, never_stopped: NeverStopped, tmp_path: Path
) -> None:
    """`trainer.total_steps` may change. For envs that cannot be saved: from a barrier at the end."""
    source = never_stopped("ddpg", env)
    end = torch.load(checkpoints(source)[1], weights_only=True)["record"]["env_steps"]
    overrides = words("ddpg", env, f"trainer.total_steps={end}")
    train(compose(overrides), tmp_path / "run", overrides)
    resume(tmp_path / "run", ["trainer.total_steps=400"])
    assert_same_training(source, tmp_path / "run")


# --- stopped by a signal ------------------------------------------------------------------------


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Stops:
    """Signals in steps of the training."""
    return Stops(monkeypatch, HindsightReplayBuffer, "add")


def run_with_stops(folder: Path, overrides: list[str], stops: Stops, at: Sequence[int]) -> None:
    """Start a run, and go on with it after each stop."""
    stops.at, stops.count = set(at), 0
    with pytest.raises(Stopped, match="SIGUSR1") as stopped:
        train(compose(overrides), folder, overrides)
    assert stopped.value.code == 128 + signal.SIGUSR1
    for left in range(len(at) - 1, -1, -1):
        result = result_of(folder)
        assert (result["status"], result["reason"]) == ("stopped", "stopped by SIGUSR1")
        saved = torch.load(checkpoints(folder)[-1], weights_only=True)
        assert saved["record"]["env_steps"] == result["env_steps"]
        if left:
            with pytest.raises(Stopped):
                resume(folder)
        else:
            resume(folder)
    assert result_of(folder)["status"] == "done"


@pytest.mark.parametrize(("agent", "env"), NATIVE)
def test_a_stop_at_any_moment_is_exact(
    agent: str, env: str, never_stopped: NeverStopped, stops: Stops, tmp_path: Path
) -> None:
    source = never_stopped(agent, env)
    lanes = OmegaConf.load(source / "config.yaml").env.num_envs
    # The first step; an episode's last step and the autoreset step after it; a barrier's step (150
    # transitions) and the one after it; one in the middle.
    episode = 4 if "flip" in env else 10
    stop = [1, episode, episode + 1, episode + 2, 250 // lanes + 3, 300 // lanes + 9]
    if lanes == 8:  # the iteration of a barrier: 10 steps an episode, each with an autoreset step
        stop += list(range(19, 24))
    run_with_stops(tmp_path / "run", words(agent, env), stops, sorted(stop))
    assert_same_run(source, tmp_path / "run")


@pytest.mark.parametrize(("agent", "env"), [("ddpg", "sync_reach"), ("dqn", "async_flip")])
def test_an_env_that_cannot_be_saved_starts_its_episodes_again(
    agent: str, env: str, stops: Stops, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run_with_stops(tmp_path / "run", words(agent, env), stops, [50])
    lines = [text for text in caplog.messages if "cannot save its state" in text]
    assert lines == ["this env cannot save its state: the open episodes start again here"]
    assert result_of(tmp_path / "run")["env_steps"] == 400


def test_a_stop_at_a_barrier_is_exact_for_any_env(
    never_stopped: NeverStopped, stops: Stops, tmp_path: Path
) -> None:
    """The envs were reset there a moment ago: there is nothing that could not be saved."""
    source = never_stopped("ddpg", "sync_reach")
    steps = torch.load(checkpoints(source)[0], weights_only=True)["record"]["env_steps"]
    # Both lanes reset together after 10 steps: a step in 11 is no transition.
    turn = steps // 2 + (steps // 2 - 1) // 10
    run_with_stops(tmp_path / "run", words("ddpg", "sync_reach"), stops, [turn])
    story = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [r["env_steps"] for r in story["resumes"]] == [steps]  # it was the barrier's step
    assert_same_run(source, tmp_path / "run")


# --- stopped during an evaluation ----------------------------------------------------------------

GIVEN_UP = {
    # A native env is saved as it is, wherever the evaluation falls. Evaluations take 10 steps each:
    # at 30, 60, 90, 120 (where a checkpoint is due as well) and at the end, again after each stop.
    "native": (["env.max_steps=10", "env.num_envs=2", "env.num_eval_envs=2", *RUN[6:],
                "trainer.eval_every=30", "trainer.total_steps=130"], {5, 19, 26, 48, 53, 66}),
    # Others are cut by a stop, but not where a checkpoint cuts them anyway.
    "sync": ([*RUN, "trainer.eval_every=40"], {5, 12, 19, 31, 45}),
}  # fmt: skip


@pytest.mark.parametrize("case", GIVEN_UP)
def test_an_evaluation_is_given_up_at_once_and_made_up_for(
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
    for left in range(len(at) - 1, -1, -1):
        result, saved = (
            result_of(folder),
            torch.load(checkpoints(folder)[-1], weights_only=True)["record"],
        )
        assert (result["status"], result["train_seconds"]) == ("stopped", 0.0)
        assert saved["evaluation_due"]  # its end was not waited for
        if left:
            with pytest.raises(Stopped):
                resume(folder, trust=["tests"])
    resume(folder, trust=["tests"])
    assert stops.count > max(at)
    result = result_of(folder)
    assert (result["train_seconds"], result["wall_seconds"]) == (0.0, now[0] - 100.0)
    assert_same_run(folder, folder.parent / "whole")
