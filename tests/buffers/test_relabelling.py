"""What the hindsight buffer relabels, and what a new goal makes of rewards and ends."""

from __future__ import annotations

import numpy as np
import pytest

from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("end", ["success", "crash", "timeout", "both"])
def test_each_end_alone(end: str, strategy: str) -> None:
    """Terminate on success, on a crash; be cut by time; succeed on the last step in time."""
    both = Both(40, lanes=2, strategy=strategy, ends=(end,), lengths=(2, 3), seed=9).begin()
    both.add(50)
    draws = both.check(600, 2)
    ends = [(s, goal) for s, goal in draws if s.taken.terminated or s.taken.truncated]
    over = {kind: [both.oracle.expected(s, goal)["terminated"] for s, goal in ends
                   if (goal is None) == (kind == "own")] for kind in ("own", "new")}  # fmt: skip
    assert set(over["own"]) == {end != "timeout"}
    if end == "crash":
        assert all(over["new"])
    if end == "timeout" and strategy == "random":
        assert len(set(over["new"])) == 2  # what the new goal says, not what the clock says
    both.audit()


def test_ends_and_rewards_follow_the_new_goal_both_ways() -> None:
    """The world gives all: steps that end under a new goal, ends that do not any more, costs that stay."""
    both = Both(60, strategy="random", ends=("success", "timeout"), seed=1).begin().add(90)
    ends, costs = set(), set()
    for s, goal in both.check(800):
        if goal is not None:
            expected = both.oracle.expected(s, goal)
            ends.add((s.taken.terminated, bool(expected["terminated"])))
            costs.add(s.taken.reward - both.oracle.reward(s, s.desired))
            assert expected["reward"] == both.oracle.reward(s, goal[0].achieved) + (
                s.taken.reward - both.oracle.reward(s, s.desired)
            )
    assert len(ends) == 4
    assert len(costs) > 4
    assert max(costs) == 0.0


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
