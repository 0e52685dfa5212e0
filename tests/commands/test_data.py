"""From a policy to a Minari set, from the set to a run: by the real commands."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import minari
import numpy as np
import pytest

from her_exp import check, evaluate
from her_exp.config.compose import compose
from her_exp.data.minari_set import MinariSet
from her_exp.data.recording import Noisy, Recording
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.training.rollout import Rollout
from her_exp.types import UserError
from tests.conftest import RunCli


def test_a_policys_episodes_are_learned_from(
    made: Path,
    short: list[str],
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    name = "mine/reach-v0"
    words = [str(made), "episodes=7", f"dataset={name}", "noise=0.5"]
    done = run_cli(*words, cwd=tmp_path, module="evaluate")
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "root/mine") == ["reach-v0"]  # nothing half is left

    theirs = minari.load_dataset(name)
    assert (theirs.total_episodes, theirs.total_steps) == (7, 70)
    assert theirs.env_spec.id == "her_exp/PointReach-v0"
    assert theirs.env_spec.kwargs["max_steps"] == 10
    about = json.loads((tmp_path / "root" / name / "data/metadata.json").read_text())["her_exp"]
    assert (about["run"], about["noise"], about["env_steps"]) == (made.name, 0.5, 304)
    task = GoalTask("her_exp/PointReach-v0", max_steps=10)
    for one, other in zip(theirs, MinariSet(name).episodes(task.spaces), strict=True):
        for key, values in other.observation.items():
            assert (one.observations[key] == values).all()
        assert (one.rewards == other.reward).all()
        # Each state follows from the one before, the last one too: none is of the next episode.
        place, velocity = (
            other.observation["achieved_goal"],
            other.observation["observation"][:, 2:],
        )
        assert np.abs(place[1:] - place[:-1]).max() <= 0.05 * np.abs(velocity).max() + 1e-6
        assert (other.observation["desired_goal"] == other.observation["desired_goal"][0]).all()
        assert other.truncated.tolist() == [False] * 9 + [not other.terminated[-1]]
        assert np.abs(other.action).max() <= 1.0

    train(compose([*short, f"buffer.demonstrations={name}"]), tmp_path / "run")
    assert "demonstrations: 7 episodes, 70 steps (10 to 10 in each)" in caplog.text

    with pytest.raises(SystemExit, match="0"):
        check.main([f"data={name}", "env.max_steps=10"])
    told = capsys.readouterr().out
    assert "7 episodes, 70 steps" in told
    assert "names her_exp/PointReach-v0" in told
    assert told.count("100.0% of the steps agree") == 2

    with pytest.raises(UserError, match=r"dataset=mine/reach-v0: .* exists; give another name"):
        evaluate.command(words)
    with pytest.raises(UserError, match=r"noise=0.5: give 0 to 1, of a set that dataset=NAME"):
        evaluate.command([str(made), "noise=0.5"])
    # A run is evaluated also where its set is no more.
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "elsewhere"))
    assert evaluate.command([str(tmp_path / "run"), "episodes=2"]) == 0
    with pytest.raises(SystemExit, match="2"):
        check.main([f"data={name}"])
    assert "minari download mine/reach-v0" in capsys.readouterr().err


def test_of_info_that_is_kept_which_every_step_says(tmp_path: Path) -> None:
    """A success that the last step alone tells is not written as False of the others."""
    task = GoalTask("her_exp/PointReach-v0", max_steps=2, reward_range=(-1.0, 0.0))
    rollout = Rollout(task.make(1), task.goal_functions())
    rollout.reset(0)
    recording = Recording(str(tmp_path / "set"))
    recording.keep(["wind"])
    for says in (False, True):
        step, _ = rollout.apply(np.zeros((1, 2), np.float32))
        said = {"success": np.array([says]), "_success": np.array([says]), "wind": np.ones(1)}
        recording.see(step._replace(info=said), [0])
    recording.write(task.spaces, task.spec, {})
    (episode,) = MinariSet(str(tmp_path / "set")).episodes(task.spaces, ["wind"])
    assert (list(episode.info), episode.info["wind"].tolist()) == (["wind"], [1.0, 1.0])


class Still:
    def act(self, observation: np.ndarray, goal: np.ndarray, *, explore: bool) -> np.ndarray:
        return np.zeros(len(goal), np.int64)


def test_noise_of_discrete_actions_is_a_share_of_random_ones() -> None:
    task = GoalTask("her_exp/BitFlip-v0", n_bits=4, reward_range=(-1.0, 0.0))
    noisy = Noisy(Still(), task.spaces.action, 0.4, seed=0)
    acts = noisy.act(np.zeros((4000, 4)), np.zeros((4000, 4)), explore=False)
    assert set(acts) == {0, 1, 2, 3}
    assert (acts != 0).mean() == pytest.approx(0.4 * 3 / 4, abs=0.03)
