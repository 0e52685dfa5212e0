"""A run that was stopped and resumed is, bit for bit, the run that never stopped."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from her_exp.config.compose import compose
from her_exp.run import resume, train
from her_exp.system.signals import SignalWatch, Stopped
from her_exp.training import trainer as trainer_module
from her_exp.training.trainer import Trainer
from tests.equality import differences
from tests.runs.resume_kit import (
    CASES,
    ENVS,
    NATIVE,
    NeverStopped,
    assert_same_run,
    killed_at,
    words,
)
from tests.runs.runs_kit import checkpoints, last_state, numbers

# --- stop + resume = never stopped --------------------------------------------------------------


def test_states_that_differ_are_told_apart() -> None:
    one = {"a": [torch.tensor([0.0]), 1], "b": {"c": None}}
    assert differences(one, {"a": [torch.tensor([0.0]), 1], "b": {"c": None}}) == []
    assert differences(one, {"a": [torch.tensor([-0.0]), 1], "b": {"c": None}}) != []
    assert differences(one, {"a": [torch.tensor([0.0]), 1.0], "b": {"c": None}}) != []
    assert differences(one, {"a": [torch.tensor([0.0]), 1], "b": {}}) != []


@pytest.mark.parametrize(("agent", "env"), CASES)
def test_resumed_at_a_checkpoint(
    agent: str, env: str, never_stopped: NeverStopped, tmp_path: Path
) -> None:
    source = never_stopped(agent, env)
    kinds = [torch.load(path, weights_only=True)["envs"]["kind"] for path in checkpoints(source)]
    assert kinds == ["barrier", "barrier", "exact" if ENVS[env][1] else "cut"]
    assert torch.load(checkpoints(source)[0], weights_only=True)["record"]["updates"] > 0
    for number in range(2):
        folder = killed_at(source, number, tmp_path / str(number))
        resume(folder, trust=["gymnasium_robotics"])
        assert_same_run(source, folder)


@pytest.mark.parametrize(("agent", "env"), [("ddpg", "point_reach"), ("ddpg", "sync_reach")])
def test_killed_between_the_last_checkpoint_and_the_word_done(
    agent: str, env: str, never_stopped: NeverStopped, tmp_path: Path
) -> None:
    folder = killed_at(never_stopped(agent, env), 2, tmp_path / "run")
    resume(folder)
    assert_same_run(never_stopped(agent, env), folder)


def test_a_run_that_differs_is_seen_to_differ(never_stopped: NeverStopped, tmp_path: Path) -> None:
    """The comparison itself: another barrier, or one draw more, and the numbers are others."""
    source = never_stopped("ddpg", "point_reach")
    overrides = words("ddpg", "point_reach", "trainer.checkpoint_every=200")
    train(compose(overrides), tmp_path / "other", overrides)
    assert numbers(source) != numbers(tmp_path / "other")
    assert differences(last_state(source), last_state(tmp_path / "other"))
    folder = killed_at(source, 0, tmp_path / "spoilt")
    path = checkpoints(folder)[0]
    state = torch.load(path, weights_only=True)
    state["buffer"]["generator"]["state"]["state"] += 1
    torch.save(state, path)
    resume(folder)
    assert numbers(source) != numbers(folder)


WATCHING = {
    "nothing": ["trainer.eval_every=null", "trainer.picture=false", "trainer.log_every=400"],
    "more": ["trainer.eval_every=40", "trainer.log_every=10", "trainer.progress=true"],
    "longer": ["trainer.eval_episodes=5", "env.num_eval_envs=1"],
}


@pytest.mark.parametrize("watching", WATCHING)
@pytest.mark.parametrize(("agent", "env"), [("ddpg", "point_reach"), ("dqn", "sync_flip")])
def test_watching_otherwise_after_a_resume(
    watching: str, agent: str, env: str, never_stopped: NeverStopped, tmp_path: Path
) -> None:
    source = never_stopped(agent, env)
    folder = killed_at(source, 0, tmp_path / "run")
    resume(folder, WATCHING[watching])
    states = [last_state(path) for path in (source, folder)]
    for part in ("agent", "buffer", "functions", "envs"):
        assert differences(states[0][part], states[1][part]) == [], part
    # A loss is the mean since the last line, an evaluation that of its episodes: other lines and
    # episodes are other numbers. All else that both have is the same.
    groups: tuple[str, ...] = ("rollout/", "buffer/", "train/updates")
    if watching != "longer":
        groups += ("eval/",)
    else:
        groups += ("train/",)
    mine, others = (
        {(step, tag): text for step, tag, text in numbers(path) if tag.startswith(groups)}
        for path in (folder, source)
    )
    common = mine.keys() & others.keys()
    seen = {tag.partition("/")[0] + "/" for _, tag in common}
    assert seen >= {"rollout/", "train/"}
    assert {key: mine[key] for key in common} == {key: others[key] for key in common}
    rollouts = [[key for key in part if key[1][:8] == "rollout/"] for part in (mine, others)]
    assert rollouts[0] == rollouts[1]


def test_the_buffers_numbers_are_logged_also_before_the_next_draw(tmp_path: Path) -> None:
    """Log lines that fall between a resume and the next learning phase."""
    overrides = words(
        "ddpg", "point_reach", "trainer.learn_every=100", "trainer.log_every=40",
        "trainer.checkpoint_every=130",
    )  # fmt: skip
    train(compose(overrides), tmp_path / "whole", overrides)
    folder = killed_at(tmp_path / "whole", 0, tmp_path / "run")
    resume(folder)
    assert numbers(tmp_path / "whole") == numbers(folder)


# --- stopped by a signal ------------------------------------------------------------------------


class Stops:
    """Raises a signal's flag after the n-th steps of a run, counted over all its resumes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.at: set[int] = set()
        self.count = 0
        stops, collect = self, Trainer._collect

        class Watch(SignalWatch):
            def __init__(self) -> None:
                super().__init__()
                stops.watch = self

        def collecting(trainer: Trainer) -> None:
            collect(trainer)
            stops.count += 1
            if stops.count in stops.at:
                stops.watch.received = signal.SIGUSR1

        monkeypatch.setattr(trainer_module, "SignalWatch", Watch)
        monkeypatch.setattr(Trainer, "_collect", collecting)


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Stops:
    return Stops(monkeypatch)


def run_with_stops(folder: Path, overrides: list[str], stops: Stops, at: Sequence[int]) -> None:
    """Start a run, and go on with it after each stop."""
    stops.at, stops.count = set(at), 0
    with pytest.raises(Stopped, match="SIGUSR1") as stopped:
        train(compose(overrides), folder, overrides)
    assert stopped.value.code == 128 + signal.SIGUSR1
    for left in range(len(at) - 1, -1, -1):
        result = json.loads((folder / "result.json").read_text())
        assert (result["status"], result["reason"]) == ("stopped", "stopped by SIGUSR1")
        saved = torch.load(checkpoints(folder)[-1], weights_only=True)
        assert saved["record"]["env_steps"] == result["env_steps"]
        if left:
            with pytest.raises(Stopped):
                resume(folder)
        else:
            resume(folder)
    assert json.loads((folder / "result.json").read_text())["status"] == "done"


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
    lines = [r.getMessage() for r in caplog.records if "cannot save its state" in r.getMessage()]
    assert lines == ["this env cannot save its state: the open episodes start again here"]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["env_steps"]) == ("done", 400)


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


@pytest.mark.parametrize("env", ["point_reach", "sync_reach"])
def test_a_longer_run_equals_one_that_was_long_from_the_start(
    env: str, never_stopped: NeverStopped, tmp_path: Path
) -> None:
    """`trainer.total_steps` may change. For envs that cannot be saved: from a barrier at the end."""
    source = never_stopped("ddpg", env)
    end = torch.load(checkpoints(source)[1], weights_only=True)["record"]["env_steps"]
    overrides = words("ddpg", env, f"trainer.total_steps={end}")
    folder = tmp_path / "run"
    train(compose(overrides), folder, overrides)
    resume(folder, ["trainer.total_steps=400"])
    states = [last_state(path) for path in (source, folder)]
    for part in ("agent", "buffer", "functions", "envs"):
        assert differences(states[0][part], states[1][part]) == [], part
    rollouts = [[row for row in numbers(f) if row[1][:8] == "rollout/"] for f in (source, folder)]
    assert rollouts[0] == rollouts[1]
