"""Envs that Gymnasium allows and few are like: what they say besides goals, when, and of which type."""

from __future__ import annotations

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
from her_exp.run import train
from her_exp.training.rollout import Rollout
from her_exp.types import GoalFunctions, UserError
from tests.buffers.one_lane import OneLane
from tests.envs.goal_walk import GOALS, NEAR, RANGE, Walk


class Toll(Walk):
    """A reward that reads `toll`, which a reset does not tell; a picture beside the goals; nested info."""

    observation_space = spaces.Dict(
        {**Walk.observation_space, "image": spaces.Box(0, 255, (2, 2, 3), np.uint8)}
    )

    def _observe(self) -> dict[str, Any]:
        return super()._observe() | {"image": np.zeros((2, 2, 3), np.uint8)}

    def about(self) -> dict[str, Any]:
        return {"toll": 0.5, "timing": {"physics": 0.1}}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0], {}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        near = float(np.linalg.norm(achieved - desired)) <= self.radius  # one row only
        return float(info["toll"]) * (near - 1.0)


class SaysWhatSuccessIs(Toll):
    def compute_success(self, achieved: Any, desired: Any) -> bool:
        return float(np.linalg.norm(achieved - desired)) <= self.radius


gym.register("odd/Toll-v0", Toll, max_episode_steps=10)
gym.register("odd/SaysWhatSuccessIs-v0", SaysWhatSuccessIs, max_episode_steps=10)


@pytest.mark.parametrize(("id", "lanes"), [("Toll", 2), ("SaysWhatSuccessIs", 1)])
def test_an_odd_env_trains(id: str, lanes: int, tmp_path: Path, tiny: list[str]) -> None:
    env = ["env=gym", f"env.id=odd/{id}-v0", f"env.num_envs={lanes}", "env.reward_range=[-0.5,0]"]
    cfg = compose([*tiny, *env, "buffer.info_keys=[toll]"])
    assert 0.0 <= train(cfg, tmp_path / "run") <= 1.0


class Priced(Walk):
    """Costs, without a function that says what success is."""

    def about(self) -> dict[str, Any]:
        return {"cost": 2.0 * self.at[0]}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) - info["cost"]


class PricedAndTold(Priced):
    """Says success itself, and ends there."""

    def about(self) -> dict[str, Any]:
        met = np.linalg.norm(self.at - self.goal) <= self.radius
        return super().about() | {"is_success": bool(met)}


def test_success_is_not_guessed_from_info_that_is_missing() -> None:
    functions = EnvGoalFunctions(Priced(), reward_range=(-9.0, 0.0), info_keys=["cost"])
    free = {"cost": np.zeros(400), "_cost": np.ones(400, bool)}
    np.testing.assert_array_equal(functions.success(*GOALS, free), NEAR)
    assert not functions.success(*GOALS, {}).any()  # at a reset
    half = np.arange(400) % 2 == 0  # some lanes have just begun anew
    told = functions.success(*GOALS, free | {"_cost": half})
    np.testing.assert_array_equal(told, NEAR & half)


def test_a_goal_met_at_a_reset_that_tells_no_price() -> None:
    """What the env calls success is held against the reward where the reward can be known."""
    functions = EnvGoalFunctions(
        PricedAndTold(), reward_range=(-9.0, 0.0), info_keys=["cost"], success_terminates=True
    )
    met = np.ones(400, bool)
    assert functions.success(*GOALS, {"is_success": met}).all()
    price = {"cost": np.full(400, 5.0), "_cost": np.zeros(400, bool)}
    assert functions.success(*GOALS, price | {"is_success": met}).all()
    with pytest.raises(UserError, match="the env says success at a reward of"):
        functions.success(*GOALS, price | {"_cost": met, "is_success": met})


def test_success_of_one_row_is_not_handed_what_is_no_array() -> None:
    """Of a vector env's info a function that is asked row by row gets what was declared."""
    env = SyncVectorEnv([SaysWhatSuccessIs] * 2, autoreset_mode=AutoresetMode.NEXT_STEP)
    functions = EnvGoalFunctions(SaysWhatSuccessIs(), reward_range=RANGE, info_keys=["toll"])
    rollout = Rollout(env, functions)
    rollout.reset(seed=0)
    rollout.apply(np.zeros((2, 2), np.float32))
    assert rollout.success.shape == (2,)


class Fee(GoalFunctions):
    """-1 away from the goal, and the fee."""

    def reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        fee = np.reshape(info["fee"], (len(achieved), -1))[:, 0]
        return np.where(np.abs(achieved - desired)[:, 0] < 0.5, 0.0, -1.0) - fee

    def terminated(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return np.zeros(len(achieved), bool)

    success = terminated


def fees(*values: Any) -> HindsightReplayBuffer:
    """A buffer of steps along a line, one with each fee."""
    lane = OneLane(Fee(), [99.0], info_keys=["fee"])
    for place, value in enumerate(values):
        lane.add(place, info={"fee": value})
    return lane.buffer


@pytest.mark.parametrize("values", [(0, 0.5, 1, 0.25), (False, 2, 0.5, 3), (True, 7, 2**40, 1)])
def test_an_info_field_may_change_its_type(values: tuple[Any, ...]) -> None:
    """A cost of 0 comes as an integer from many an env, one of 0.5 does not."""
    (batch,) = fees(*values).sample(400)
    place = batch.next_observation[:, 0].long().numpy()
    missed = (batch.next_observation - batch.goal).abs()[:, 0].numpy() >= 0.5
    assert missed.any()
    assert not missed.all()
    expected = -1.0 * missed - np.array([float(v) for v in values])[place]
    np.testing.assert_allclose(batch.reward.numpy(), expected, rtol=1e-6)


def test_an_info_field_may_not_change_its_shape() -> None:
    with pytest.raises(
        UserError, match=r"buffer\.info_keys: info\['fee'\] had shape \(\), now \(2,\)"
    ):
        fees(0.5, np.array([0.5, 0.5]))
