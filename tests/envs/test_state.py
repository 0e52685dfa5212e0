"""The state of our envs: saved anywhere, it goes on exactly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.envs.native import NAV, POINT, assert_same, cases, native, single


@cases
@pytest.mark.parametrize("at", [0, 1, 5])
def test_vector_state_goes_on_exactly(id: str, kwargs: dict[str, Any], at: int) -> None:
    env, fresh = (native(id, 3, render_mode="rgb_array", **kwargs) for _ in range(2))
    env.reset(seed=0)
    for _ in range(at):
        env.step(env.action_space.sample())
    saved = env.get_state()
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
    actions = [env.action_space.sample() for _ in range(60)]
    expected = play(env, actions)
    fresh = single(id, render_mode="rgb_array", **kwargs)  # a state without a trail fits too
    fresh.set_state(saved)
    assert fresh.render().shape == (400, 400, 3)
    assert_same(expected, play(fresh, actions))


def test_a_state_that_does_not_fit() -> None:
    env = native(POINT, 2)
    env.reset(seed=0)
    for other in (native(POINT, 3), native(NAV, 2)):
        with pytest.raises(ValueError, match="this env has"):
            other.set_state(env.get_state())
