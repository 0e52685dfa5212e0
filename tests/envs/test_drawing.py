"""Pictures of our envs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.envs.native import NAV, POINT, cases, native, single


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
