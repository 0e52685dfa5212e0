"""The vector env is the single env, many times: equal to SyncVectorEnv in every number."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.envs.native import POINT, assert_same, cases, native


@cases
@pytest.mark.parametrize(("n", "seed"), [(1, 0), (3, 7), (8, 123)])
def test_equals_sync_vector_env(id: str, kwargs: dict[str, Any], n: int, seed: int) -> None:
    ours = native(id, n, **kwargs)
    theirs = gym.make_vec(id, num_envs=n, vectorization_mode="sync", **kwargs)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    ours.action_space.seed(seed)
    ends = 0
    for round_seed in (seed, None):  # the second round goes on with the lanes' generators
        assert_same(ours.reset(seed=round_seed), theirs.reset(seed=round_seed))
        for _ in range(130):
            actions = ours.action_space.sample()
            one, other = ours.step(actions), theirs.step(actions)
            assert_same(one, other)
            ends += int((one[2] | one[3]).sum())
    assert ends >= 2 * n
    assert ours.np_random_seed == theirs.np_random_seed == tuple(range(seed, seed + n))
    for mine, its in zip(ours.np_random, theirs.np_random, strict=True):
        assert mine.bit_generator.state == its.bit_generator.state


@cases
def test_reset_mask_and_seed_lists_equal_sync(id: str, kwargs: dict[str, Any]) -> None:
    ours = native(id, 4, **kwargs)
    theirs = gym.make_vec(id, num_envs=4, vectorization_mode="sync", **kwargs)
    assert_same(ours.reset(seed=[5, 5, 2, 9]), theirs.reset(seed=[5, 5, 2, 9]))
    generator = np.random.default_rng(0)
    ours.action_space.seed(1)
    for _ in range(60):
        actions = ours.action_space.sample()
        assert_same(ours.step(actions), theirs.step(actions))
        mask = generator.random(4) < 0.3
        if mask.any():
            seed = [None, 3, None, 4]
            one = ours.reset(seed=seed, options={"reset_mask": mask.copy()})
            assert_same(one, theirs.reset(seed=seed, options={"reset_mask": mask.copy()}))


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
