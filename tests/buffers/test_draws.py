"""Draws of the hindsight buffer: how many are relabelled, of their own, from its own generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.buffers.side_by_side import Both


def test_batches_of_one_call_are_draws_of_their_own() -> None:
    both = Both(200, lanes=4, seed=2).begin().add(60)
    seen = set()
    for _ in range(2):
        batches = both.buffer.sample(50, 9)
        assert both.buffer.last.row.shape == both.buffer.last.relabelled.shape == (9, 50)
        assert len({batch.observation.data_ptr() for batch in batches}) == 9
        seen |= {batch.observation.numpy().tobytes() for batch in batches}
    assert len(seen) == 18


def test_only_its_own_generator_is_asked() -> None:
    def draws(noise: int) -> list[int]:
        both = Both(60, lanes=3, seed=1).begin().add(40)
        np.random.seed(noise)  # noqa: NPY002
        torch.manual_seed(noise)
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        both.buffer.sample(64, 2)
        assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
        return both.buffer.last.goal_row.tolist()

    assert draws(1) == draws(2)


def test_sampling_changes_nothing_that_is_stored() -> None:
    both = Both(30, lanes=2).begin().add(30)
    for batch in both.buffer.sample(32, 3):
        assert batch.demonstrated is None
        for tensor in batch.parts.values():
            tensor.fill_(7)  # a user's own transformation, in place
    both.audit()


def test_a_loaded_buffer_shares_no_memory_with_the_first() -> None:
    both = Both(24, lanes=2, seed=5).begin().add(30)
    other = Both(24, lanes=2, seed=6)
    other.buffer.load_state_dict(both.buffer.state_dict())
    other.oracle = Both(24, lanes=2, seed=5).begin().add(30).oracle
    other.begin().add(17).audit(at_least=500)
    both.audit(at_least=500)


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
    assert both.buffer.relabel_share == both.buffer.achieved_share == pytest.approx(k / (k + 1))
    both.audit(batch_size=batch_size, n_batches=2, at_least=800 * batch_size)


def test_the_normaliser_is_told_how_many_goals_are_achieved_ones() -> None:
    """Of five drawn goals two were achieved: the others were asked for, one of them by the step itself."""
    both = Both(40, k=4, strategy="future_actual", seed=3).begin().add(60)
    assert both.buffer.achieved_share == pytest.approx(0.4)
    last = [both.buffer.sample(50, 20) and both.buffer.last for _ in range(40)]
    achieved = np.mean([one.relabelled & ~one.asked for one in last])
    assert achieved == pytest.approx(0.4, abs=0.01)
