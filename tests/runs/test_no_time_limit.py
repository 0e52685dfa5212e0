"""An env that may never end: said at the start, with what to do about it."""

from __future__ import annotations

import logging
from pathlib import Path

import gymnasium as gym
import pytest

from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.training.build import make_trainer
from her_exp.training.checks import close_all
from tests.envs import strange_envs


class OwnCount(strange_envs.Plane):
    """Cuts its episodes itself, after 300 steps."""

    def reset(self, *, seed=None, options=None):
        self.left = 300
        return super().reset(seed=seed)

    def step(self, action):
        self.left -= 1
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, self.left == 0, info


class EndsAtSuccess(strange_envs.Plane):
    near = 0.5

    def compute_terminated(self, achieved, desired, info):
        return self.met(achieved, desired)

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, info["is_success"], False, info


gym.register("endless/Never-v0", strange_envs.Plane)
gym.register("endless/EndsAtSuccess-v0", EndsAtSuccess)
gym.register("endless/OwnCount-v0", OwnCount)


@pytest.mark.parametrize("name", ["Never", "EndsAtSuccess"])
def test_it_is_said_at_the_start_with_a_remedy_that_works(
    name: str, tiny: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    task = GoalTask(f"endless/{name}-v0", reward_range=[-1, 0])
    said = task.endless() or ""
    assert "no time limit is known" in said
    (remedy,) = [word for word in said.split() if word.startswith("+env")]
    words = [*tiny, "env=gym", f"env.id=endless/{name}-v0", "env.reward_range=[-1,0]"]
    train(compose([*words, remedy.replace("200", "20")]), tmp_path / "run")
    assert "no time limit" not in caplog.text
    assert caplog.records


def test_it_is_logged(tiny: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = [*tiny, "env=gym", "env.id=endless/EndsAtSuccess-v0", "env.reward_range=[-1,0]"]
    trainer = make_trainer(compose(words), tmp_path)
    close_all(trainer.env, trainer.eval_env, trainer.functions, trainer.logger)
    assert "no time limit is known" in caplog.text


def test_limits_that_are_known_or_seen_are_none_to_speak_of() -> None:
    for id in ("endless/OwnCount-v0", "strange/Plane-v0", "her_exp/Nav2D-v0"):
        assert GoalTask(id).endless() is None
