"""Would the oracle notice? A sound buffer is built or fed wrongly, or draws unevenly, and must be caught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from her_exp.types import Step
from tests.buffers.audit import assert_uniform, audit
from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both
from tests.buffers.world import FloatGoals

pytestmark = pytest.mark.heavy


def both_of(strategy: str, /, **changes: Any) -> Both:
    """Return three lanes of 16 rows; after 58 steps they hold episodes of every sort."""
    return Both(48, lanes=3, strategy=strategy, seed=12, buffer_changes=changes).begin()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_sound_buffer_passes(strategy: str) -> None:
    both = both_of(strategy).add(58)
    endings = {s.episode.states[-2].taken.terminated for s in both.oracle.drawable()}
    assert endings == {True, False}
    assert not all(s.episode.states[0].alive for s in both.oracle.drawable())
    both.audit(per_cell=40)


def never_the_last(drawn: Any, rng: np.random.Generator) -> Any:
    return drawn.at(1 + rng.integers(0, np.maximum(drawn.left - 1, 1)))


class Swapped(FloatGoals):
    """The reward, or the end, with its arguments the wrong way round."""

    def __init__(self, name: str) -> None:
        ask = getattr(super(), name)
        setattr(self, name, lambda achieved, desired, info: ask(desired, achieved, info))


class Blind(FloatGoals):
    """Goal functions that get the info of nobody."""

    def reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return super().reward(achieved, desired, {key: 0 * info[key] for key in info})


BUILT = {
    "reward with swapped arguments": ({"goal_functions": Swapped("reward")}, r"reward \(rel"),
    "end with swapped arguments": ({"goal_functions": Swapped("terminated")}, r"terminated \(rel"),
    "info not passed on": ({"goal_functions": Blind()}, r"reward \(relab"),
    "share a little too small": ({"k": 3.7}, "mean share"),
    "one row more": ({"capacity": 51}, "not drawable|not among|observation"),
    "another strategy: final": ({"strategy": "final"}, "coverage of goals"),
    "never the last state": ({"strategy": never_the_last}, "coverage of goals"),
    "goals that were asked for": ({"strategy": "future_actual"}, "not among"),
}


@pytest.mark.parametrize("name", BUILT)
def test_a_buffer_built_wrongly_is_caught(name: str) -> None:
    changes, said = BUILT[name]
    both = both_of("future", **changes).add(58)
    with pytest.raises(AssertionError, match=said):
        audit(both.buffer, both.oracle, per_cell=40)


def time_is_an_end(step: Step) -> Step:
    return step._replace(terminated=step.terminated | step.truncated)


def all_valid(step: Step) -> Step:
    return step._replace(valid=step.valid | True)


def reset_for_last(step: Step) -> Step:
    """Same-step autoreset read naively: the first state of the next episode as the last one."""
    ended = step.terminated | step.truncated
    after = {
        name: np.where(ended[:, None], array + 1, array)
        for name, array in step.next_observation.items()
    }
    return step._replace(next_observation=after)


def info_of_the_next_lane(step: Step) -> Step:
    return step._replace(info={name: np.roll(step.info[name], 1, axis=0) for name in step.info})


FED = {
    "a time limit is an end": (time_is_an_end, "terminated"),
    "autoreset steps are steps": (all_valid, "not drawable|not among"),
    "reset state stored as the last": (reset_for_last, "observation|goal"),
    "info of another lane": (info_of_the_next_lane, "reward"),
}


@pytest.mark.parametrize("name", FED)
@pytest.mark.parametrize("strategy", ["future", "random"])
def test_a_buffer_fed_wrongly_is_caught(strategy: str, name: str) -> None:
    change, said = FED[name]
    both = both_of(strategy)
    both.change_step = change
    both.add(58)
    with pytest.raises(AssertionError, match=said):
        both.audit()


def test_episodes_that_run_on_over_a_barrier_are_caught() -> None:
    """As if `begin` were one more step of the open episodes."""
    both = both_of("future").add(5)
    both.oracle.begin(both.world.reset())
    step = Step(
        observation=both.world.now,
        action=np.zeros((3, 2), np.float32),
        reward=np.zeros(3),
        terminated=np.zeros(3, bool),
        truncated=np.zeros(3, bool),
        next_observation=both.world.now,
        valid=np.ones(3, bool),
        info={"wind": np.zeros(3), "load": np.zeros((3, 2))},
        success=np.zeros(3, bool),
    )
    both.give(both.buffer, step)
    both.add(5)
    with pytest.raises(AssertionError, match=r"not drawable|not among"):
        both.audit()


def counted(draws: np.ndarray) -> list[dict[int, int]]:
    return [dict(enumerate(np.bincount(draws, minlength=12).tolist()))]


def test_uneven_draws_are_caught() -> None:
    """Of twelve steps in two lanes, one of which has twice as many as the other."""
    rng = np.random.default_rng(0)
    assert_uniform("steps", counted(rng.integers(12, size=4000)))
    lane_first = np.where(
        rng.random(4000) < 0.5, rng.integers(8, size=4000), rng.integers(8, 12, size=4000)
    )
    with pytest.raises(AssertionError, match="uniform steps"):
        assert_uniform("steps", counted(lane_first))
    with pytest.raises(AssertionError, match="coverage of steps: never drawn"):
        assert_uniform("steps", counted(rng.integers(11, size=4000)))
    with pytest.raises(AssertionError, match="too even steps"):  # a shuffle, no draws
        assert_uniform("steps", counted(np.arange(4000) % 12))
