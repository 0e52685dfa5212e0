"""Draws of the hindsight buffer: of their own, with replacement, from its own generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.buffers.audit import compare
from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both, unlike_lanes


def test_batches_of_one_call_are_draws_of_their_own() -> None:
    both = Both(200, lanes=4, seed=2).begin().add(60)
    batches = both.buffer.sample(50, 9)
    compare(both.buffer, both.oracle, batches)
    last = both.buffer.last
    assert last.row.shape == last.relabelled.shape == (9, 50)
    drawn = {tuple(zip(last.lane[i], last.row[i], strict=True)) for i in range(9)}
    assert len(drawn) == 9
    before = [batch.observation.clone() for batch in batches]
    assert len({batch.observation.data_ptr() for batch in batches}) == 9
    again = [batch.observation.clone() for batch in both.buffer.sample(50, 9)]
    assert not any(torch.equal(a, b) for a in before for b in again)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_steps_count_alike_in_lanes_with_few_and_with_many(strategy: str) -> None:
    unlike_lanes(strategy).audit()


def test_draws_are_with_replacement() -> None:
    both = Both(40).begin().add(2)
    assert len(both.check(500)) == 500


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
        for tensor in batch:
            tensor.fill_(7)  # a user's own transformation, in place
    both.audit()
