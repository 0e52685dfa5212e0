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
from tests.runs import broken_envs  # noqa: F401  (registers)


class EndsAtSuccess(strange_envs.Plane):
    near = 0.5

    def compute_terminated(self, achieved, desired, info):
        return self.met(achieved, desired)

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, info["is_success"], False, info


gym.register("endless/Never-v0", strange_envs.Plane)
gym.register("endless/EndsAtSuccess-v0", EndsAtSuccess)


@pytest.mark.parametrize("name", ["Never", "EndsAtSuccess"])
def test_it_is_said_at_the_start_with_a_remedy_that_works(
    name: str, tiny: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    words = [*tiny, "env=gym", f"env.id=endless/{name}-v0", "env.reward_range=[-1,0]"]
    trainer = make_trainer(compose(words), tmp_path)
    close_all(trainer.env, trainer.eval_env, trainer.functions, trainer.logger)
    (said,) = [line for line in caplog.messages if "no time limit is known" in line]
    (remedy,) = [word for word in said.split() if word.startswith("+env")]
    caplog.clear()
    train(compose([*words, remedy.replace("200", "20")]), tmp_path / "run")
    assert "no time limit" not in caplog.text
    assert caplog.records


@pytest.mark.parametrize(
    ("id", "settings"),
    [("broken/Untold-v0", {"ends": 300}), ("strange/Plane-v0", {}), ("her_exp/Nav2D-v0", {})],
)
def test_a_limit_that_is_known_or_seen_is_none_to_speak_of(id: str, settings: dict) -> None:
    assert GoalTask(id, reward_range=[-1, 0], **settings).endless() is None
