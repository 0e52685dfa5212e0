"""Would the comparison notice? A sound buffer is built or fed wrongly, and must be caught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from her_exp.types import Step
from tests.about.spoiled_buffer import rig_of
from tests.buffers.audit import audit
from tests.buffers.world import FloatGoals

# -- a sound buffer, built wrongly


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
    "share of 1 - 1/k": ({"k": 3}, "share: "),
    "share of k": ({"k": 0}, "share: "),
    "one row less": ({"capacity": 45}, "not drawable|not among|observation"),
    "one row more": ({"capacity": 51}, "not drawable|not among|observation"),
    "another strategy: final": ({"strategy": "final"}, "coverage of goals"),
    "another strategy: episode": ({"strategy": "episode"}, "not among"),
    "another strategy: random": ({"strategy": "random"}, "not among"),
}


@pytest.mark.parametrize("name", BUILT)
def test_a_buffer_built_wrongly_is_caught(name: str) -> None:
    changes, said = BUILT[name]
    rig = rig_of("future", **changes).add(58)
    with pytest.raises(AssertionError, match=said):
        audit(rig.buffer, rig.oracle, per_cell=40)


# -- a sound buffer, fed wrongly


def time_is_an_end(step: Step) -> Step:
    return step._replace(terminated=step.terminated | step.truncated)


def only_time_ends(step: Step) -> Step:
    ended = step.terminated | step.truncated
    return step._replace(terminated=ended & False, truncated=ended)


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


def clipped_reward(step: Step) -> Step:
    return step._replace(reward=np.clip(step.reward, -1, 0))


FED = {
    "a time limit is an end": (time_is_an_end, "terminated"),
    "an end is a time limit": (only_time_ends, "terminated"),
    "autoreset steps are steps": (all_valid, "not drawable|not among"),
    "reset state stored as the last": (reset_for_last, "observation|goal"),
    "info of another lane": (info_of_the_next_lane, "reward"),
    "reward clipped": (clipped_reward, "reward"),
}


@pytest.mark.parametrize("name", FED)
@pytest.mark.parametrize("strategy", ["future", "random"])
def test_a_buffer_fed_wrongly_is_caught(strategy: str, name: str) -> None:
    change, said = FED[name]
    rig = rig_of(strategy)
    rig.change_step = change
    rig.add(58)
    with pytest.raises(AssertionError, match=said):
        rig.audit()


def test_episodes_that_run_on_over_a_barrier_are_caught() -> None:
    """As if `begin` were one more step of the open episodes."""
    rig = rig_of("future").add(5)
    rig.oracle.begin(rig.world.reset())
    step = Step(
        observation=rig.world.now,
        action=np.zeros((3, 2), np.float32),
        reward=np.zeros(3),
        terminated=np.zeros(3, bool),
        truncated=np.zeros(3, bool),
        next_observation=rig.world.now,
        valid=np.ones(3, bool),
        info={"wind": np.zeros(3), "load": np.zeros((3, 2))},
        success=np.zeros(3, bool),
    )
    rig.give(rig.buffer, step)
    rig.add(5)
    with pytest.raises(AssertionError, match=r"not drawable|not among"):
        rig.audit()
