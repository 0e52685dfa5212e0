"""Our native envs: dynamics against plain Python, refusals, lanes as many single envs, states, pictures."""

from __future__ import annotations

import copy
import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import her_exp.envs  # noqa: F401  (registers the ids)
from tests.equality import differences

POINT, NAV, BITS = "her_exp/PointReach-v0", "her_exp/Nav2D-v0", "her_exp/BitFlip-v0"
#: Every task, in its own size and in one so small that episodes end often.
CASES = [
    pytest.param(POINT, {}, id="point"),
    pytest.param(POINT, {"max_steps": 3, "distance_threshold": 0.7}, id="point-short"),
    pytest.param(NAV, {}, id="nav"),
    pytest.param(NAV, {"max_steps": 1}, id="nav-one-step"),
    pytest.param(NAV, {"size": 1, "goal_low": 0.2, "goal_high": 0.9}, id="nav-small"),
    pytest.param(BITS, {}, id="bits"),
    pytest.param(BITS, {"n_bits": 2}, id="bits-few"),
    pytest.param(BITS, {"n_bits": 3, "continuous": True}, id="bits-continuous"),
]
cases = pytest.mark.parametrize(("id", "kwargs"), CASES)


def single(id: str, **kwargs: Any) -> Any:
    return gym.make(id, **kwargs).unwrapped


def native(id: str, n: int, **kwargs: Any) -> Any:
    return gym.make_vec(id, num_envs=n, vectorization_mode="vector_entry_point", **kwargs)


def assert_same(one: Any, other: Any) -> None:
    assert differences(one, other) == []


@cases
def test_gymnasium_check_env(id: str, kwargs: dict[str, Any]) -> None:
    if kwargs.get("max_steps") == 1:
        pytest.skip("check_env takes a truncation after one step for a fault")
    check_env(single(id, render_mode="rgb_array", **kwargs))


@pytest.mark.parametrize(
    ("id", "kwargs", "words"),
    [
        (POINT, {"n": 0}, "num_envs=0"),
        (POINT, {"max_steps": 0}, "max_steps=0: must be a whole number >= 1"),
        (POINT, {"distance_threshold": math.nan}, "distance_threshold=nan: must be a number > 0"),
        (NAV, {"goal_low": 4.5}, "goal_low=4.5: must be >= 0 and < goal_high=4.5"),
        (NAV, {"goal_high": 6.0}, "goal_high=6.0: must be <= size=5.0"),
        (BITS, {"n_bits": 10**9}, "n_bits=1000000000: must be at most 1000000"),
        (BITS, {"continuous": 2}, "continuous=2: must be true or false"),
        (BITS, {"render_mode": "ansi"}, "render_mode='ansi': must be 'rgb_array' or None"),
    ],
)
def test_wrong_arguments_are_named(id: str, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"^" + words):
        native(id, **{"n": 2} | kwargs)


@pytest.mark.parametrize(
    ("id", "actions", "words"),
    [
        (POINT, np.zeros((2, 3)), r"shape \(2, 3\), expected \(2, 2\)"),
        (BITS, np.zeros((2, 1), int), r"expected \(2,\)"),
        (BITS, np.zeros(2), "whole numbers"),
        (BITS, np.array([0, 15]), r"\[0, 15\)"),
    ],
)
def test_wrong_actions(id: str, actions: np.ndarray, words: str) -> None:
    env = native(id, 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        env.step(actions)


@cases
@pytest.mark.parametrize(("n", "seed"), [(1, 0), (3, 7), (8, 123), (4, [5, 5, 2, 9])])
def test_equals_sync_vector_env(id: str, kwargs: dict[str, Any], n: int, seed: Any) -> None:
    """Also where some lanes only are reset, with seeds or without."""
    ours = native(id, n, **kwargs)
    theirs = gym.make_vec(id, num_envs=n, vectorization_mode="sync", **kwargs)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    ours.action_space.seed(0)
    generator, ends = np.random.default_rng(0), 0
    for round_seed in (seed, None):  # the second round goes on with the lanes' generators
        assert_same(ours.reset(seed=round_seed), theirs.reset(seed=round_seed))
        assert ours.np_random_seed == theirs.np_random_seed
        for _ in range(130):
            actions = ours.action_space.sample()
            one, other = ours.step(actions), theirs.step(actions)
            assert_same(one, other)
            ends += int((one[2] | one[3]).sum())
            mask = generator.random(n) < 0.3
            if n == 4 and mask.any():
                again = {"seed": [None, 3, None, 4], "options": {"reset_mask": mask}}
                assert_same(ours.reset(**copy.deepcopy(again)), theirs.reset(**again))
    assert ends >= 2 * n or n == 4
    for mine, its in zip(ours.np_random, theirs.np_random, strict=True):
        assert mine.bit_generator.state == its.bit_generator.state


def test_a_wrong_reset() -> None:
    env = native(POINT, 2)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="3 seeds were given for 2 lanes"):
        env.reset(seed=[1, 2, 3])


def play(env: Any, actions: list[Any]) -> list[Any]:
    """Single envs are reset where they end."""
    results: list[Any] = []
    for action in actions:
        results.append(env.step(action))
        if np.all(results[-1][2]) or np.all(results[-1][3]):
            results.append(env.reset())
    return results


@cases
@pytest.mark.parametrize("lanes", [None, 3])
@pytest.mark.parametrize("at", [0, 5])
def test_a_state_goes_on_exactly(
    id: str, kwargs: dict[str, Any], at: int, lanes: int | None
) -> None:
    def make(mode: str | None) -> Any:
        of = {"render_mode": mode, **kwargs}
        return native(id, lanes, **of) if lanes else single(id, **of)

    env, other, fresh = make("rgb_array"), make(None), make("rgb_array")
    env.reset(seed=0)
    play(env, [env.action_space.sample() for _ in range(at)])
    saved = env.get_state()
    actions = [env.action_space.sample() for _ in range(60)]
    expected = play(env, actions)
    for one in (other, fresh):  # other envs, and after the first has gone on
        one.set_state(saved)
        assert_same(expected, play(one, actions))
    assert_same(env.render(), fresh.render())
    fresh.set_state(other.get_state())  # without a trail
    assert_same(play(fresh, actions), play(other, actions))


def test_a_state_that_does_not_fit() -> None:
    env = native(POINT, 2)
    env.reset(seed=0)
    for other in (native(POINT, 3), native(NAV, 2)):
        with pytest.raises(ValueError, match="this env has"):
            other.set_state(env.get_state())


@cases
def test_pictures(id: str, kwargs: dict[str, Any]) -> None:
    """Of each lane what the single env draws, and another one after a step."""
    env = native(id, 2, render_mode="rgb_array", **kwargs)
    one = single(id, render_mode="rgb_array", **kwargs)
    env.reset(seed=0)
    one.reset(seed=0)
    before, actions = env.render(), env.action_space.sample()
    assert (before[0].shape, before[0].dtype) == ((400, 400, 3), np.uint8)
    assert_same(before[0], one.render())
    env.step(actions)
    one.step(actions[0])
    assert_same(env.render()[0], one.render())
    assert (before[0] != before[1]).any()
    assert (before[0] != one.render()).any()


# --- dynamics --------------------------------------------------------------------------------


def clip(x: float, low: float, high: float) -> float:
    return low if x < low else high if x > high else x


def point_mass(state: list[float], action: Any) -> list[float]:
    pairs = zip(state[2:], action, strict=True)
    speed = [clip(v + 6.0 * clip(a, -1, 1) * 0.1, -0.7, 0.7) for v, a in pairs]
    return [clip(x + v * 0.1, -0.8, 0.8) for x, v in zip(state[:2], speed, strict=True)] + speed


def walk(state: list[float], action: Any) -> list[float]:
    return [clip(x + clip(a, -1, 1), 0, 5) for x, a in zip(state, action, strict=True)]


def flip(state: list[float], action: Any) -> list[float]:
    flips = [i == action for i in range(4)] if np.ndim(action) == 0 else [a > 0 for a in action]
    return [1 - bit if turned else bit for bit, turned in zip(state, flips, strict=True)]


MASS = {"dt": 0.1, "goal_range": 0.8, "max_speed": 0.7, "action_scale": 6.0}
#: Of a task: id, settings, the dynamics, the distance that is near, whether success ends an episode.
BY_HAND = {
    "point": (POINT, {"max_steps": 40, "distance_threshold": 0.2, **MASS}, point_mass, 0.2, False),
    "nav": (NAV, {"max_steps": 7, "distance_threshold": 0.5}, walk, 0.5, True),
    "bits": (BITS, {"n_bits": 4}, flip, 0.0, True),
    "signs": (BITS, {"n_bits": 4, "continuous": True}, flip, 0.0, True),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_dynamics_against_plain_python(name: str) -> None:
    id, kwargs, move, near, ends = BY_HAND[name]
    env, generator = single(id, **kwargs), np.random.default_rng(0)
    env.action_space.seed(0)
    lengths, last = set(), kwargs.get("max_steps", 4)
    for seed in range(40):
        observation, info = env.reset(seed=seed)
        state, goal = (observation[key].tolist() for key in ("observation", "desired_goal"))
        assert info == {"is_success": math.dist(state[: len(goal)], goal) <= near}
        for t in range(1, last + 1):
            action = env.action_space.sample()
            if id != BITS:  # also beyond the Box, and towards the goal
                action = 0.7 * np.subtract(goal, state[:2]) + 1.5 * generator.normal(size=2)
            state = move(state, action)
            observation, reward, terminated, truncated, info = env.step(action)
            assert observation in env.observation_space
            np.testing.assert_allclose(observation["observation"], state, atol=1e-5)
            np.testing.assert_allclose(observation["achieved_goal"], state[: len(goal)], atol=1e-5)
            met = math.dist(observation["achieved_goal"].tolist(), goal) <= near
            assert (reward, info) == (0.0 if met else -1.0, {"is_success": met})
            assert terminated is (ends and met)
            assert truncated is (t == last)
            if terminated:
                break
        lengths.add(t)
    assert (len(lengths) > 2) == ends
    assert last in lengths


def test_starts_and_goals_are_uniform_and_apart() -> None:
    nav, _ = native(NAV, 2000).reset(seed=0)
    assert not nav["observation"].any()
    assert (nav["desired_goal"] >= 3.5).all()
    assert (nav["desired_goal"] <= 4.5).all()
    assert nav["desired_goal"].std(0) == pytest.approx(1 / 12**0.5, abs=0.02)
    observation, _ = native(POINT, 2000, goal_range=2.0).reset(seed=0)
    for key in ("achieved_goal", "desired_goal"):
        for axis in range(2):
            counts, _ = np.histogram(observation[key][:, axis], 8, (-2, 2))
            assert counts.sum() == 2000
            assert abs(counts - 250).max() < 80  # 5 standard deviations
    joint = np.concatenate([observation["achieved_goal"], observation["desired_goal"]], axis=1)
    assert abs(np.corrcoef(joint.T) - np.eye(4)).max() < 0.1
    bits, _ = native(BITS, 2000).reset(seed=0)
    assert abs(bits["achieved_goal"].mean(0) - 0.5).max() < 0.06
    assert abs((bits["achieved_goal"] == bits["desired_goal"]).mean(0) - 0.5).max() < 0.06
