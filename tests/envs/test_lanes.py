"""The vector env is the single env, many times, in every number; its state goes on exactly."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.envs.native import NAV, POINT, assert_same, cases, native, single


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


YES_NO = np.array([True, False])


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"options": {"reset_mask": [True, False]}}, TypeError, "numpy array of bool"),
        ({"options": {"reset_mask": np.array([1, 0])}}, TypeError, "numpy array of bool"),
        ({"options": {"reset_mask": np.array([True])}}, ValueError, r"shape \(2,\)"),
        ({"options": {"reset_mask": YES_NO & False}}, ValueError, "at least one True"),
        ({"seed": [1, 2, 3]}, ValueError, "3 seeds were given for 2 lanes"),
    ],
)
def test_a_wrong_reset(given: dict[str, Any], error: type[Exception], words: str) -> None:
    env = native(POINT, 2)
    for untimely in (lambda: env.step(np.zeros((2, 2), np.float32)),
                     lambda: env.reset(options={"reset_mask": YES_NO})):  # fmt: skip
        with pytest.raises(gym.error.ResetNeeded):
            untimely()
    env.reset(seed=0)
    with pytest.raises(error, match=words):
        env.reset(**given)


@cases
def test_what_was_returned_never_changes(id: str, kwargs: dict[str, Any]) -> None:
    env, twin = native(id, 3, **kwargs), native(id, 3, **kwargs)
    kept = [env.reset(seed=0)]
    copies = [pickle.dumps(kept[0])]
    for _ in range(12):
        actions = env.action_space.sample()
        before = actions.copy()
        kept.append(env.step(actions))
        np.testing.assert_array_equal(actions, before)
        copies.append(pickle.dumps(kept[-1]))
    assert_same(kept, [pickle.loads(copy) for copy in copies])
    # Nor does what the caller does to it reach the env.
    mine, _ = env.reset(seed=4)
    twin.reset(seed=4)
    for value in mine.values():
        value[...] = 1
    assert_same(env.step(actions), twin.step(actions))


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
@pytest.mark.parametrize("at", [0, 1, 5])
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
