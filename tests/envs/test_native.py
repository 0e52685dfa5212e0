"""Our native envs: what they refuse, lanes as single envs many times, their states and pictures."""

from __future__ import annotations

import copy
import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.envs.native import BITS, NAV, POINT, assert_same, cases, native, single


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
