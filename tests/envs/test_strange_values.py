"""What strangers' envs give is checked where it comes in: one line that names lane and key, or it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.training.rollout import Rollout
from her_exp.types import EnvFailed, UserError
from her_exp.values import add_info, numbers, readable, truths
from tests.envs.strange_envs import KEYS, goal_space
from tests.envs.strange_kit import play
from tests.runs.runs_kit import result_of

BACKENDS = ("sync", pytest.param("async", marks=pytest.mark.heavy))
ONE = "it must be one truth value"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("array", r"\[.*\]"), ("share", "0.33"), ("dict", "a dict"), ("list", r"\[.*\]"),
        ("text", "'False'"), ("two", "2"),
    ],
)  # fmt: skip
def test_success_is_one_truth_value(kind: str, told: str, backend: str) -> None:
    with pytest.raises(EnvFailed, match=rf"info\['is_success'\] of lane 0 is {told}; {ONE}$"):
        play("Tells", 40, backend=backend, success=kind)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["one", "number"])
def test_what_stands_for_a_truth_value_is_one(kind: str, backend: str) -> None:
    plain, odd = (play("Tells", 200, backend=backend, **k) for k in ({}, {"success": kind}))
    assert odd.episodes == plain.episodes
    assert any(episode.success_any for episode in odd.episodes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "kind",
    ["shape", "type", "none", "objects", "function", "set", "text", "nested", "ragged", "keys", "under"],
)  # fmt: skip
def test_info_that_nobody_reads_is_no_fault(kind: str, backend: str) -> None:
    assert play("Tells", 60, backend=backend, info=kind).episodes == play("Tells", 60).episodes


@pytest.mark.heavy
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["shape", "none", "text", "objects", "nested", "ragged"])
def test_info_that_is_read_must_be_numbers_of_one_shape(
    kind: str, backend: str, tiny: list[str], tmp_path: Path
) -> None:
    words = [*tiny, "env=gym", "env.id=strange/Tells-v0", f"env.backend={backend}"]
    words += [f"+env.info={kind}", "buffer.info_keys=[path]", "env.reward_range=[-1,0]"]
    with pytest.raises(UserError, match=r"info\['path'\]"):
        train(compose(words), tmp_path / "run")
    assert "\n" not in result_of(tmp_path / "run")["reason"]


STEPS = {
    "reward": ("none", "text", "complex", "vector", "many"),
    "terminated": ("none", "yes", "many", "two", "vector"),
    "truncated": ("none", "yes", "many", "two", "complex"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", STEPS)
def test_rewards_and_ends_that_are_none(what: str, backend: str) -> None:
    for kind in STEPS[what]:
        with pytest.raises(EnvFailed, match=rf"^env: step of lane 0 gave .*{what}.*; give "):
            play("Tells", 1, lanes=1, backend=backend, **{what: kind})
    for kind in ("one", "zero", "column") if what == "reward" else ("zero",):
        play("Tells", 3, lanes=1, backend=backend, **{what: kind})


@pytest.mark.parametrize("backend", BACKENDS)
def test_info_that_is_nothing(backend: str) -> None:
    with pytest.raises(EnvFailed, match="of lane 0 gave the info None; give a dict"):
        play("Tells", 1, backend=backend, info="nothing")


@pytest.mark.parametrize(
    ("which", "what"), [("compute_reward", "number"), ("compute_success", "truth value")]
)
def test_functions_that_answer_with_several_values(which: str, what: str) -> None:
    with pytest.raises(
        UserError, match=rf"^{which} of the env gives \[.*\] for one goal; give one {what}"
    ):
        play("Weighs", which=which)


def test_success_that_is_none_is_not_said() -> None:
    """Where the reward is declared it tells; else nobody does, and that is refused."""
    with pytest.raises(UserError, match=r"declare \[lowest, highest\]"):
        play("Tells", success="none")
    plain, none = (play("Tells", 200, reward_range=[-1, 0], **k) for k in ({}, {"success": "none"}))
    assert none.episodes == plain.episodes


@pytest.mark.parametrize("what", ["action", "observation", "achieved_goal"])
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_instances_whose_spaces_differ(what: str, lanes: int, backend: str) -> None:
    with pytest.raises(
        EnvFailed, match=rf"^env: the {what} space of lane 0 is Box.*every instance"
    ):
        GoalTask("strange/Differs-v0", num_envs=lanes, backend=backend, what=what).make()


class Own(VectorEnv):
    """A vector env of a user's own, with answers of its own kind."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int = 3, **odd: Any) -> None:
        self.num_envs, self.odd = num_envs, odd
        self.single_observation_space = goal_space(spaces.Box(-9, 9, (1,), np.float32))
        self.single_action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.state = np.zeros((num_envs, 1), np.float32)  # the same arrays at each step

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.state[:] = 0
        return dict.fromkeys(KEYS, self.state), {}

    def step(self, actions: Any) -> Any:
        self.state += 1
        no = np.zeros(self.num_envs, bool)
        given = {"reward": -1.0 - no, "terminated": no, "truncated": no, "info": {}} | self.odd
        return dict.fromkeys(KEYS, self.state), *given.values()


class Says:
    """Goal functions that read success from info."""

    def success(self, achieved: Any, desired: Any, info: Any) -> Any:
        return truths("env: info['is_success']", info.get("is_success", [False] * 3), 3)


@pytest.mark.parametrize(
    ("odd", "wrong"),
    [
        ({"reward": np.array(["a", "b", "c"])}, "env: reward of lane 0 is 'a'; it must be numbers"),
        ({"reward": [0, None, 1]}, "env: reward of lane 1 is None"),
        ({"reward": np.zeros((3, 2))}, r"env: rewards have shape \(3, 2\), expected \(3,\)"),
        ({"reward": 1.0}, "env: reward is 1.0; it must be numbers of each of 3 lanes"),
        ({"terminated": [False, None, True]}, "env: terminated of lane 1 is None; it must be one"),
        (
            {"truncated": np.zeros(2, bool)},
            "env: truncated is .*; it must be a truth value of each of 3",
        ),
        ({"truncated": np.array(["", "yes", ""])}, "env: truncated of lane 0 is ''"),
        (
            {"info": {"is_success": np.array([1.0, 0.5, 0.0])}},
            r"info\['is_success'\] of lane 1 is 0.5",
        ),
    ],
)
def test_answers_of_a_vector_env(odd: dict[str, Any], wrong: str) -> None:
    rollout = Rollout(Own(**odd), Says())  # type: ignore[arg-type]
    rollout.reset(0)
    with pytest.raises(EnvFailed, match=wrong):
        rollout.apply(np.zeros((3, 1), np.float32))


def test_a_vector_env_may_use_its_arrays_again_and_give_integers() -> None:
    rollout = Rollout(Own(reward=[0, -1, 0], terminated=[0, 0, 1]), Says())  # type: ignore[arg-type]
    rollout.reset(0)
    first, ended = rollout.apply(np.zeros((3, 1), np.float32))
    rollout.apply(np.zeros((3, 1), np.float32))
    assert first.observation["achieved_goal"].tolist() == [[0], [0], [0]]
    assert first.next_observation["achieved_goal"].tolist() == [[1], [1], [1]]
    assert [episode.lane for episode in ended] == [2]
    assert first.reward.dtype == np.float64


def test_what_is_none_is_not_said() -> None:
    """At a reset many envs have nothing to say."""
    assert readable("env", {"is_success": None, "cost": 1.0}) == {"cost": 1.0}


def test_info_of_lanes_makes_room_for_floats() -> None:
    """A cost of 0 comes as an integer, one of 0.5 does not: the second lane's is not cut."""
    batch: dict[str, Any] = {}
    for lane, value in enumerate((0, 0.5, True, np.float32(0.25))):
        batch = add_info(batch, readable("env", {"cost": value}), lane, 5)
    assert batch["cost"].tolist() == [0, 0.5, 1, 0.25, 0]
    assert batch["_cost"].tolist() == [True, True, True, True, False]
    np.testing.assert_array_equal(numbers("cost", batch["cost"], 5), batch["cost"])


class Flip(gym.Env):
    """Bits to a code, success told in the info of a step only; resets tell nothing."""

    def __init__(self, n: int = 2) -> None:
        self.observation_space = goal_space(spaces.MultiBinary(n))
        self.action_space, self.n = spaces.Discrete(n), n

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return (achieved == desired).all(-1) - 1.0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.bits, self.code = self.np_random.integers(0, 2, (2, self.n)).astype(np.int8)
        self.left = self.np_random.integers(1, 6)  # lanes do not end together
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        self.bits[action] ^= 1
        self.left -= 1
        reward = float(self.compute_reward(self.bits, self.code, {}))
        return self.observe(), reward, False, self.left == 0, {"is_success": reward == 0}

    def observe(self) -> dict[str, Any]:
        bits = self.bits.copy()
        return dict(zip(KEYS, (bits, bits, self.code.copy()), strict=True))


gym.register("strange/Flip-v0", Flip)


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_goals_met_at_reset_where_only_steps_tell(lanes: int) -> None:
    task = GoalTask("strange/Flip-v0", num_envs=lanes, backend="sync", reward_range=[-1, 0])
    rollout, generator = Rollout(task.make(), task.goal_functions()), np.random.default_rng(0)
    rollout.reset(0)
    episodes = []
    while len(episodes) < 1500:
        episodes += rollout.apply(generator.integers(0, 2, lanes))[1]
    share = np.mean([episode.met_at_reset for episode in episodes])
    assert share == pytest.approx(0.25, abs=0.05)
