"""Envs that Gymnasium allows and few are like: what they say besides goals, when, and of which type."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.config.compose import compose
from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.training.build import make_trainer
from her_exp.training.checks import close_all
from her_exp.types import GoalFunctions, UserError
from tests.buffers.one_lane import OneLane
from tests.envs import strange_envs
from tests.envs.goal_walk import GOALS, NEAR, Walk
from tests.runs import broken_envs  # noqa: F401  (registers)


class Toll(Walk):
    """Functions of one row only, a toll that no reset tells, a picture beside the goals, nested info."""

    observation_space = spaces.Dict(
        {**Walk.observation_space, "image": spaces.Box(0, 255, (2, 2, 3), np.uint8)}
    )

    def _observe(self) -> dict[str, Any]:
        return super()._observe() | {"image": np.zeros((2, 2, 3), np.uint8)}

    def about(self) -> dict[str, Any]:
        return {"toll": 0.5, "timing": {"physics": 0.1}}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0], {}

    def compute_success(self, achieved: Any, desired: Any) -> bool:
        return float(np.linalg.norm(achieved - desired)) <= self.radius

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return float(info["toll"]) * (self.compute_success(achieved, desired) - 1.0)


def of_many(num_envs: int, **_: Any) -> SyncVectorEnv:
    """A vector env of its owner's, whose info is nested as well."""
    one = lambda: gym.wrappers.TimeLimit(Toll(), 10)  # noqa: E731
    return SyncVectorEnv([one] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP)


gym.register("odd/Toll-v0", Toll, max_episode_steps=10, vector_entry_point=of_many)


@pytest.mark.parametrize("backend", ["native", "sync"])
def test_an_odd_env_trains(backend: str, tmp_path: Path, tiny: list[str]) -> None:
    env = ["env=gym", "env.id=odd/Toll-v0", "env.num_envs=2", "env.reward_range=[-0.5,0]"]
    cfg = compose([*tiny, *env, f"env.backend={backend}", "buffer.info_keys=[toll]"])
    assert 0.0 <= train(cfg, tmp_path / "run") <= 1.0


def priced(walk: Walk, achieved: Any, desired: Any, info: Any) -> Any:
    return walk.met(achieved, desired) - 1.0 - info["cost"]


def cost(walk: Walk) -> dict[str, Any]:
    return {"cost": 2.0 * walk.at[0]}


def cost_and_success(walk: Walk) -> dict[str, Any]:
    return cost(walk) | {"is_success": bool(walk.met(walk.at, walk.goal))}


DECLARED: dict[str, Any] = {"reward_range": (-9.0, 0.0), "info_keys": ["cost"]}


def test_success_is_not_guessed_from_info_that_is_missing() -> None:
    functions = EnvGoalFunctions(Walk(about=cost, compute_reward=priced), **DECLARED)
    free = {"cost": np.zeros(400), "_cost": np.ones(400, bool)}
    np.testing.assert_array_equal(functions.success(*GOALS, free), NEAR)
    assert not functions.success(*GOALS, {}).any()  # at a reset
    half = np.arange(400) % 2 == 0  # some lanes have just begun anew
    told = functions.success(*GOALS, free | {"_cost": half})
    np.testing.assert_array_equal(told, NEAR & half)


def test_a_goal_met_at_a_reset_that_tells_no_price() -> None:
    """What the env calls success is held against the reward where the reward can be known."""
    ends = Walk(about=cost_and_success, compute_reward=priced)
    functions = EnvGoalFunctions(ends, success_terminates=True, **DECLARED)
    met = np.ones(400, bool)
    assert functions.success(*GOALS, {"is_success": met}).all()
    price = {"cost": np.full(400, 5.0), "_cost": np.zeros(400, bool)}
    assert functions.success(*GOALS, price | {"is_success": met}).all()
    with pytest.raises(UserError, match="the env says success at a reward of"):
        functions.success(*GOALS, price | {"_cost": met, "is_success": met})


LEVEL = 0.5


def root(walk: Walk, achieved: Any, desired: Any, info: Any) -> Any:
    return -np.sqrt(np.abs(achieved - desired).sum(-1))


def parks(walk: Walk) -> dict[str, Any]:
    return {"is_success": bool(root(walk, walk.at, walk.goal, {}) >= -LEVEL)}


def test_success_is_a_reward_above_a_level_that_is_not_the_highest() -> None:
    """As in highway-env's parking, where info says it of the step's own goal alone."""
    lot = Walk(compute_reward=root, about=parks)
    functions = EnvGoalFunctions(lot, success_reward=-LEVEL, success_terminates=True)
    by_goal = root(lot, *GOALS, {})
    met = by_goal >= -LEVEL
    np.testing.assert_array_equal(functions.reward(*GOALS, {}), by_goal)
    np.testing.assert_array_equal(functions.terminated(*GOALS, {}), met)
    assert (met & (by_goal < -0.2)).any()
    np.testing.assert_array_equal(functions.success(*GOALS, {"is_success": met}), met)
    for wrong in ({"reward_range": (-20.0, 0.0)}, {"success_reward": -0.1}):
        other = EnvGoalFunctions(lot, success_terminates=True, **wrong)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"^env\.success_reward: the env says success at a rew"):
            other.success(*GOALS, {"is_success": met})


class Fee(GoalFunctions):
    """Each step costs its fee."""

    def reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return -np.reshape(info["fee"], (len(achieved), -1))[:, 0].astype(float)

    def terminated(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return np.zeros(len(achieved), bool)

    success = terminated


def fees(*values: Any) -> HindsightReplayBuffer:
    """A buffer of steps along a line, one with each fee."""
    lane = OneLane(Fee(), [99.0], info_keys=["fee"])
    for place, value in enumerate(values):
        lane.add(place, info={"fee": value})
    return lane.buffer


@pytest.mark.parametrize("values", [(0, 0.5, 1, 0.25), (True, 7, 2**40, 1)])
def test_an_info_field_may_change_its_type(values: tuple[Any, ...]) -> None:
    """A cost of 0 comes as an integer from many an env, one of 0.5 does not."""
    (batch,) = fees(*values).sample(400)
    place = batch.next_observation[:, 0].long().numpy()
    np.testing.assert_array_equal(batch.reward.numpy(), -np.array(values, np.float32)[place])


def test_an_info_field_may_not_change_its_shape() -> None:
    with pytest.raises(
        UserError, match=r"buffer\.info_keys: info\['fee'\] had shape \(\), now \(2,\)"
    ):
        fees(0.5, np.array([0.5, 0.5]))


# --- an env that may never end ---------------------------------------------------------------------

#: Ends where the goal is met.
ENDS = {
    "near": 0.5,
    "compute_terminated": lambda walk, achieved, desired, _: walk.met(achieved, desired),
    "end": lambda walk: bool(walk.met(walk.at, walk.goal)),
}
gym.register("endless/Never-v0", strange_envs.Plane)
gym.register("endless/EndsAtSuccess-v0", strange_envs.Plane, kwargs=ENDS)


@pytest.mark.parametrize("name", ["Never", "EndsAtSuccess"])
def test_an_env_that_may_never_end_is_said_at_the_start_with_a_remedy_that_works(
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
