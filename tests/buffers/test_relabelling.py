"""What the hindsight buffer relabels, and what a new goal makes of rewards and ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both
from tests.buffers.world import KINDS


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("end", ["success", "crash", "timeout", "both"])
def test_each_end_alone(end: str, strategy: str) -> None:
    """Terminate on success, on a crash; be cut by time; succeed on the last step in time."""
    both = Both(40, lanes=2, strategy=strategy, ends=(end,), lengths=(2, 3), seed=9).begin()
    both.add(50)
    draws = both.check(600, 2)
    ends = [(s, goal) for s, goal in draws if s.taken.terminated or s.taken.truncated]
    assert ends
    under_new = [
        both.oracle.expected(s, goal)["terminated"] for s, goal in ends if goal is not None
    ]
    under_own = [both.oracle.expected(s, None)["terminated"] for s, goal in ends if goal is None]
    assert all(value == (end != "timeout") for value in under_own)
    if end == "crash":
        assert all(under_new)
    if end == "timeout" and strategy == "random":
        assert len(set(under_new)) == 2  # what the new goal says, not what the clock says
    both.audit()


def test_terminated_follows_the_new_goal_both_ways() -> None:
    """The world gives both: open steps that end under a new goal, ends that do not any more."""
    both = Both(60, strategy="random", ends=("success", "timeout"), seed=1).begin().add(90)
    seen = {
        (s.taken.terminated, bool(both.oracle.expected(s, goal)["terminated"]))
        for s, goal in both.check(800)
        if goal is not None
    }
    assert {(False, True), (False, False), (True, True)} <= seen
    # Successes end with the highest achieved goals: only another one can stay out of reach.
    assert (True, False) in seen


def test_the_goal_free_part_of_the_reward_stays() -> None:
    both = Both(60, seed=3).begin().add(60)
    parts = set()
    for s, goal in both.check(300):
        if goal is not None:
            part = s.taken.reward - both.oracle.reward(s, s.desired)
            paid = both.oracle.expected(s, goal)["reward"]
            assert paid == both.oracle.reward(s, goal[0].achieved) + part
            parts.add(part)
    assert len(parts) > 4
    assert 0.0 in parts
    assert min(parts) < 0


@pytest.mark.parametrize("k", [0, 1, 4, 8])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_share_of_relabelled_steps(k: int, batch_size: int) -> None:
    both = Both(12, lanes=2, k=k, seed=k).begin().add(25)
    assert both.buffer.relabel_share == pytest.approx(k / (k + 1), abs=1e-12)
    assert both.buffer.achieved_share == both.buffer.relabel_share
    both.audit(batch_size=batch_size, n_batches=2, at_least=800 * batch_size)


def test_the_normaliser_is_told_how_many_goals_are_achieved_ones() -> None:
    """Of five drawn goals two were achieved: the others were asked for, one of them by the step itself."""
    both = Both(40, k=4, strategy="future_actual", seed=3).begin().add(60)
    assert both.buffer.achieved_share == pytest.approx(0.4)
    last = [both.buffer.sample(50, 20) and both.buffer.last for _ in range(40)]
    achieved = np.mean([one.relabelled & ~one.asked for one in last])
    assert achieved == pytest.approx(0.4, abs=0.01)


def test_info_is_that_of_the_step_and_only_what_was_named() -> None:
    both = Both(30, lanes=2, seed=5).begin().add(30)
    seen: list[dict[str, Any]] = []
    functions, ask = both.world.functions, type(both.world.functions).reward

    def spy(achieved: Any, desired: Any, info: Any) -> Any:
        seen.append({name: np.shape(value) for name, value in info.items()})
        assert all(len(value) == len(achieved) for value in info.values())
        return ask(functions, achieved, desired, info)

    functions.reward = spy
    both.buffer.sample(32)
    assert seen
    for shapes in seen:
        assert set(shapes) == {"wind", "load"}
        assert len(shapes["wind"]) == 1
        assert len(shapes["load"]) == 2
        assert shapes["load"][1] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_goals_reach_the_functions_as_they_were_stored(kind: str) -> None:
    both = Both(30, lanes=2, kind=kind).begin().add(30)
    wanted = np.dtype(np.int64 if kind == "int" else np.float32)
    seen: list[Any] = []
    functions = both.world.functions
    for name in ("reward", "terminated"):
        ask = getattr(type(functions), name)

        def spy(achieved: Any, desired: Any, info: Any, ask: Any = ask) -> Any:
            seen.extend([achieved, desired])
            return ask(functions, achieved, desired, info)

        setattr(functions, name, spy)
    both.buffer.sample(32)
    assert seen
    assert {array.dtype for array in seen} == {wanted}
    assert {array.shape[1:] for array in seen} == {(2,)}
