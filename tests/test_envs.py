"""Our native envs: Gymnasium's checkers, equality with SyncVectorEnv, dynamics, pictures, state."""

from __future__ import annotations

import inspect
import math
import pickle
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import her_exp.envs  # noqa: F401  (registers the ids)

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
    """Equal in type, dtype and every number, all the way down."""
    if isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert type(one) is type(other)
        assert one == other


# Gymnasium's own checks. Warnings are errors here.


@cases
def test_gymnasium_check_env(id: str, kwargs: dict[str, Any]) -> None:
    if kwargs.get("max_steps") == 1:
        pytest.skip("check_env takes a truncation after one step for a fault")
    env = gym.make(id, render_mode="rgb_array", **kwargs)
    check_env(env.unwrapped)
    # Under the wrappers of gym.make too, whose passive checker looks at every first call.
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.render().shape == (400, 400, 3)


@pytest.mark.parametrize("id", [POINT, NAV, BITS])
def test_every_way_to_make(id: str) -> None:
    for mode in ("vector_entry_point", "sync", None):
        env = gym.make_vec(id, num_envs=8, vectorization_mode=mode)
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
        assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        result = env.step(env.action_space.sample())
        assert result[0] in env.observation_space
        env.close()
    env = gym.make(id)
    for name in ("compute_reward", "compute_terminated", "compute_success", "max_steps"):
        assert env.has_wrapper_attr(name)
    assert env.has_wrapper_attr("distance_threshold") == (id != BITS)


def test_registration_is_idempotent_and_free_of_torch() -> None:
    program = (
        "import importlib, sys, warnings; warnings.simplefilter('error'); import her_exp.envs;"
        "importlib.reload(her_exp.envs); import gymnasium;"
        "env = gymnasium.make('her_exp/PointReach-v0'); env.reset(seed=0);"
        "assert 'torch' not in sys.modules and 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("point", ["entry_point", "vector_entry_point"])
def test_the_named_arguments_can_be_read_off_the_entry_point(point: str) -> None:
    from gymnasium.envs.registration import load_env_creator

    parameters = inspect.signature(load_env_creator(getattr(gym.spec(NAV), point))).parameters
    lead = ["render_mode"] if point == "entry_point" else ["num_envs", "render_mode"]
    task = ["max_steps", "size", "goal_low", "goal_high", "distance_threshold"]
    assert list(parameters) == lead + task
    assert parameters["goal_low"].default == 3.5
    assert parameters["max_steps"].annotation is int


# The vector env is the single env, many times.


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


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ([True, False], TypeError, "numpy array of bool"),
        (np.array([1, 0]), TypeError, "numpy array of bool"),
        (np.array([True]), ValueError, r"shape \(2,\)"),
        (np.array([False, False]), ValueError, "at least one True"),
    ],
)
def test_a_wrong_reset_mask(mask: Any, error: type[Exception], words: str) -> None:
    env = native(POINT, 2)
    env.reset(seed=0)
    with pytest.raises(error, match=words):
        env.reset(options={"reset_mask": mask})


def test_a_wrong_number_of_seeds_and_no_reset() -> None:
    env = native(POINT, 2)
    with pytest.raises(ValueError, match="3 seeds were given for 2 lanes"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros((2, 2), np.float32))
    with pytest.raises(gym.error.ResetNeeded):
        env.reset(options={"reset_mask": np.array([True, False])})


@cases
def test_what_was_returned_never_changes(id: str, kwargs: dict[str, Any]) -> None:
    env = native(id, 3, **kwargs)
    kept = [env.reset(seed=0)]
    copies = [pickle.dumps(kept[0])]
    for _ in range(12):
        actions = env.action_space.sample()
        before = actions.copy()
        kept.append(env.step(actions))
        np.testing.assert_array_equal(actions, before)
        copies.append(pickle.dumps(kept[-1]))
    for result, copy in zip(kept, copies, strict=True):
        assert_same(result, pickle.loads(copy))
    # Nor does what the caller does to it reach the env.
    twin = native(id, 3, **kwargs)
    mine, _ = env.reset(seed=4)
    twin.reset(seed=4)
    for value in mine.values():
        value[...] = 1
    actions = env.action_space.sample()
    assert_same(env.step(actions), twin.step(actions))


# Dynamics, against plain Python.


def clip(x: float, low: float, high: float) -> float:
    return low if x < low else high if x > high else x


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_point_reach_against_plain_python(scale: float) -> None:
    settings_ = {"dt": 0.1, "goal_range": 0.8, "max_speed": 0.7, "action_scale": 6.0}
    env = single(POINT, max_steps=40, distance_threshold=0.2, **settings_)
    generator = np.random.default_rng(0)
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        x, y, vx, vy = (float(value) for value in observation["observation"])
        assert (vx, vy) == (0.0, 0.0)
        gx, gy = (float(value) for value in observation["desired_goal"])
        assert info == {"is_success": math.hypot(x - gx, y - gy) <= 0.2}
        for t in range(1, 41):
            action = generator.normal(size=2) * scale
            ax, ay = (clip(float(a), -1, 1) for a in action)
            vx = clip(vx + 6.0 * ax * 0.1, -0.7, 0.7)
            vy = clip(vy + 6.0 * ay * 0.1, -0.7, 0.7)
            x, y = clip(x + vx * 0.1, -0.8, 0.8), clip(y + vy * 0.1, -0.8, 0.8)
            observation, reward, terminated, truncated, info = env.step(action)
            np.testing.assert_allclose(observation["observation"], [x, y, vx, vy], atol=1e-5)
            np.testing.assert_allclose(observation["achieved_goal"], [x, y], atol=1e-5)
            near = math.dist(observation["achieved_goal"].tolist(), (gx, gy)) <= 0.2
            assert reward == (0.0 if near else -1.0)
            assert info == {"is_success": near}
            assert terminated is False
            assert truncated is (t == 40)


def test_nav2d_against_plain_python() -> None:
    env = single(NAV, max_steps=30, distance_threshold=0.5)
    generator = np.random.default_rng(1)
    lengths = set()
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(observation["observation"], [0, 0])
        x = y = 0.0
        gx, gy = (float(value) for value in observation["desired_goal"])
        assert 3.5 <= gx <= 4.5
        assert 3.5 <= gy <= 4.5
        for t in range(1, 31):
            action = [0.7 * (gx - x), 0.7 * (gy - y)] + 1.5 * generator.normal(size=2)
            x = clip(x + clip(float(action[0]), -1, 1), 0, 5)
            y = clip(y + clip(float(action[1]), -1, 1), 0, 5)
            observation, reward, terminated, truncated, _info = env.step(action)
            np.testing.assert_allclose(observation["observation"], [x, y], atol=1e-5)
            near = math.dist(observation["achieved_goal"].tolist(), (gx, gy)) <= 0.5
            assert (reward, terminated) == (0.0 if near else -1.0, near)
            assert truncated is (t == 30)
            if terminated:
                lengths.add(t)
                break
    assert len(lengths) > 2


@pytest.mark.parametrize("continuous", [False, True])
def test_bit_flip_against_plain_python(continuous: bool) -> None:
    env = single(BITS, n_bits=4, continuous=continuous)
    env.action_space.seed(0)
    ended = cut = 0
    for seed in range(40):
        observation, _ = env.reset(seed=seed)
        bits, goal = observation["observation"].tolist(), observation["desired_goal"].tolist()
        for t in range(1, 5):
            action = env.action_space.sample()
            flips = [i for i in range(4) if (action[i] > 0 if continuous else i == action)]
            bits = [1 - bit if i in flips else bit for i, bit in enumerate(bits)]
            observation, reward, terminated, truncated, _ = env.step(action)
            assert observation["achieved_goal"].tolist() == bits
            assert observation["observation"].tolist() == bits
            assert observation["observation"].dtype == np.int8
            assert (reward, terminated) == ((0.0, True) if bits == goal else (-1.0, False))
            assert truncated is (t == 4)
            ended, cut = ended + terminated, cut + truncated
            if terminated:
                break
    assert ended
    assert cut


def test_a_start_on_the_goal_ends_nothing() -> None:
    env = native(BITS, 64, n_bits=2)
    _, info = env.reset(seed=0)
    assert info["is_success"].any()
    observation, reward, terminated, _, _ = env.step(np.zeros(64, np.int64))
    assert not terminated[info["is_success"]].any()
    assert (reward[info["is_success"]] == -1.0).all()
    assert observation in env.observation_space


def test_starts_and_goals_are_uniform_and_apart() -> None:
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


# Properties of the goal functions.

goals = st.integers(1, 6).flatmap(
    lambda n: arrays(np.float32, (2, n, 2), elements=st.floats(-1, 1, width=32))
)


@settings(max_examples=60, deadline=None)
@given(goals)
def test_batched_equals_scalar(pair: np.ndarray) -> None:
    for id in (POINT, NAV):
        env = single(id, distance_threshold=0.5)
        achieved, desired = pair
        check_functions(env, achieved, desired)
        distance = np.linalg.norm(achieved.astype(float) - desired.astype(float), axis=-1)
        clear = abs(distance - 0.5) > 1e-6
        success = env.compute_success(achieved, desired)
        np.testing.assert_array_equal(success[clear], distance[clear] <= 0.5)
        terminated = env.compute_terminated(achieved, desired, {})
        np.testing.assert_array_equal(terminated, success & (id == NAV))


@settings(max_examples=40, deadline=None)
@given(arrays(np.int8, (2, 5, 3), elements=st.integers(0, 1)))
def test_batched_equals_scalar_for_bits(pair: np.ndarray) -> None:
    check_functions(single(BITS, n_bits=3), *pair)


def check_functions(env: Any, achieved: np.ndarray, desired: np.ndarray) -> None:
    for name, dtype in (
        ("compute_reward", np.float64),
        ("compute_terminated", np.bool_),
        ("compute_truncated", np.bool_),
        ("compute_success", np.bool_),
    ):
        function = getattr(env, name)
        info = () if name == "compute_success" else ({},)
        batch = function(achieved, desired, *info)
        assert batch.shape == (len(achieved),)
        assert batch.dtype == dtype
        for row in range(len(achieved)):
            one = function(achieved[row], desired[row], *info)
            assert isinstance(one, float if name == "compute_reward" else bool)
            assert one == batch[row]
        lead = function(achieved[None], desired[None], *info)  # any leading shape
        np.testing.assert_array_equal(lead, batch[None])
        assert not (name == "compute_truncated" and batch.any())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    goal_range=st.floats(0.01, 100),
    max_speed=st.floats(0.01, 100),
    scale=st.floats(0.01, 1000),
    extent=st.floats(0, 1e6),
)
def test_bounds_are_kept_and_rewards_agree(
    seed: int, goal_range: float, max_speed: float, scale: float, extent: float
) -> None:
    kwargs = {"goal_range": goal_range, "max_speed": max_speed, "action_scale": scale}
    point = native(POINT, 3, max_steps=5, distance_threshold=goal_range, **kwargs)
    high = goal_range * 0.9
    nav = native(NAV, 3, max_steps=5, size=goal_range, goal_low=high / 3, goal_high=high)
    generator = np.random.default_rng(seed)
    for env in (point, nav):
        observation, _ = env.reset(seed=seed)
        ended = np.zeros(3, bool)
        for _ in range(8):
            assert observation in env.observation_space
            actions = generator.normal(size=(3, 2)) * extent  # not in the Box: clipped to it
            observation, reward, terminated, truncated, info = env.step(actions)
            goals_ = observation["achieved_goal"], observation["desired_goal"]
            moved = ~ended
            np.testing.assert_array_equal(reward[moved], env.compute_reward(*goals_, {})[moved])
            expected = env.compute_terminated(*goals_, {})
            np.testing.assert_array_equal(terminated[moved], expected[moved])
            np.testing.assert_array_equal(info["is_success"], env.compute_success(*goals_))
            ended = terminated | truncated


# Arguments and actions.


@pytest.mark.parametrize(
    ("id", "kwargs", "words"),
    [
        (POINT, {"max_steps": 0}, "max_steps=0: must be a whole number >= 1"),
        (POINT, {"max_steps": 2.5}, "max_steps=2.5: must be a whole number >= 1"),
        (POINT, {"dt": 0.0}, "dt=0.0: must be a number > 0"),
        (POINT, {"goal_range": -1}, "goal_range=-1: must be a number > 0"),
        (POINT, {"max_speed": math.inf}, "max_speed=inf: must be a number > 0"),
        (POINT, {"distance_threshold": math.nan}, "distance_threshold=nan: must be a number > 0"),
        (POINT, {"action_scale": "fast"}, "action_scale='fast': must be a number > 0"),
        (NAV, {"goal_low": 4.5}, "goal_low=4.5: must be >= 0 and < goal_high=4.5"),
        (NAV, {"goal_low": -0.1}, "goal_low=-0.1: must be >= 0 and < goal_high=4.5"),
        (NAV, {"goal_high": 6.0}, "goal_high=6.0: must be <= size=5.0"),
        (BITS, {"n_bits": 0}, "n_bits=0: must be a whole number >= 1"),
        (BITS, {"n_bits": 10**9}, "n_bits=1000000000: must be at most 1000000"),
        (BITS, {"continuous": 2}, "continuous=2: must be true or false"),
        (BITS, {"render_mode": "ansi"}, "render_mode='ansi': must be 'rgb_array' or None"),
    ],
)
def test_wrong_arguments_are_named(id: str, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"^" + words):
        native(id, 2, **kwargs)


def test_wrong_number_of_lanes() -> None:
    with pytest.raises(ValueError, match="num_envs=0"):
        native(POINT, 0)


@pytest.mark.parametrize(
    ("id", "actions", "words"),
    [
        (POINT, np.zeros((2, 3)), r"shape \(2, 3\), expected \(2, 2\)"),
        (POINT, np.zeros(2), "shape"),
        (BITS, np.zeros((2, 1), int), r"expected \(2,\)"),
        (BITS, np.zeros(2), "whole numbers"),
        (BITS, np.array([0, 15]), r"\[0, 15\)"),
        (BITS, np.array([-1, 0]), r"\[0, 15\)"),
    ],
)
def test_wrong_actions(id: str, actions: np.ndarray, words: str) -> None:
    env = native(id, 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        env.step(actions)


# Pictures.


@cases
def test_pictures(id: str, kwargs: dict[str, Any]) -> None:
    env = native(id, 2, render_mode="rgb_array", **kwargs)
    one = single(id, render_mode="rgb_array", **kwargs)
    env.reset(seed=0)
    one.reset(seed=0)
    before = env.render()
    assert isinstance(before, tuple)
    assert len(before) == 2
    for frame in before:
        assert frame.shape == (400, 400, 3)
        assert frame.dtype == np.uint8
        assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 20
        assert frame.mean() > 200  # a light theme
    assert (before[0] != before[1]).any()
    np.testing.assert_array_equal(before[0], one.render())
    actions = env.action_space.sample()
    env.step(actions)
    one.step(actions[0])
    after = env.render()
    assert (after[0] != before[0]).any()
    np.testing.assert_array_equal(after[0], one.render())


def test_success_tints_the_picture() -> None:
    env = single(NAV, render_mode="rgb_array", goal_low=0.9, goal_high=1.0)
    env.reset(seed=0)
    before = env.render()[60:380, 40:360].astype(int)
    *_, info = env.step(np.array([0.95, 0.95]))
    assert info["is_success"]
    after = env.render()[60:380, 40:360].astype(int)
    greener = (after[..., 1] - after[..., 0]) - (before[..., 1] - before[..., 0])
    assert np.median(greener) > 5


def test_render_without_a_mode_warns() -> None:
    for env in (single(POINT), native(POINT, 2)):
        env.reset(seed=0)
        with pytest.warns(UserWarning, match="render_mode='rgb_array'"):
            assert env.render() is None


# State: save anywhere, go on exactly.


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(one) for key, one in value.items())
    if isinstance(value, list):
        return all(plain(one) for one in value)
    if isinstance(value, np.ndarray):
        return value.dtype != object
    return value is None or type(value) in (int, str, bool, float)


@cases
@pytest.mark.parametrize("at", [0, 1, 5])
def test_vector_state_goes_on_exactly(id: str, kwargs: dict[str, Any], at: int) -> None:
    env, fresh = (native(id, 3, render_mode="rgb_array", **kwargs) for _ in range(2))
    env.reset(seed=0)
    for _ in range(at):
        env.step(env.action_space.sample())
    saved = env.get_state()
    assert plain(saved)
    actions = [env.action_space.sample() for _ in range(60)]
    expected = [env.step(action) for action in actions]
    frame = env.render()
    fresh.set_state(saved)  # into another env, and after the first has gone on
    assert_same(expected, [fresh.step(action) for action in actions])
    assert_same(frame, fresh.render())
    assert_same(env.reset(), fresh.reset())
    assert fresh.np_random_seed == (0, 1, 2)


@cases
def test_single_state_goes_on_exactly(id: str, kwargs: dict[str, Any]) -> None:
    def play(env: Any, actions: list[Any]) -> list[Any]:
        results: list[Any] = []
        for action in actions:
            results.append(env.step(action))
            if results[-1][2] or results[-1][3]:
                results.append(env.reset())
        return results

    env = single(id, **kwargs)
    env.reset(seed=3)
    play(env, [env.action_space.sample() for _ in range(4)])
    saved = env.get_state()
    assert plain(saved)
    actions = [env.action_space.sample() for _ in range(60)]
    expected = play(env, actions)
    fresh = single(id, render_mode="rgb_array", **kwargs)  # a state without a trail fits too
    fresh.set_state(saved)
    assert fresh.render().shape == (400, 400, 3)
    assert_same(expected, play(fresh, actions))


def test_a_state_that_does_not_fit() -> None:
    env = native(POINT, 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="this env has"):
        native(POINT, 3).set_state(env.get_state())
    with pytest.raises(ValueError, match="this env has"):
        native(NAV, 2).set_state(env.get_state())
