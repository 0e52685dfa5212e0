"""Would the oracle notice? A sound buffer is built or fed wrongly and must be caught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from her_exp.types import Step
from tests.buffers.audit import audit
from tests.buffers.side_by_side import Both
from tests.buffers.world import FloatGoals

pytestmark = pytest.mark.heavy


def both_of(strategy: str, /, **changes: Any) -> Both:
    """Return three lanes of 16 rows; after 58 steps they hold episodes of every sort."""
    return Both(48, lanes=3, strategy=strategy, seed=12, buffer_changes=changes).begin()


def never_the_last(drawn: Any, rng: np.random.Generator) -> Any:
    return drawn.at(1 + rng.integers(0, np.maximum(drawn.left - 1, 1)))


class Blind(FloatGoals):
    """Goal functions that get the info of nobody."""

    def reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return super().reward(achieved, desired, {key: 0 * info[key] for key in info})


BUILT = {
    "one row more": ({"capacity": 51}, "not drawable|not among|observation"),
    "info not passed on": ({"goal_functions": Blind()}, r"reward \(relab"),
    "share a little too small": ({"k": 3.7}, "mean share"),
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
