"""Draws of the hindsight buffer: of their own, from its own generator, and of a state that was loaded."""

from __future__ import annotations

import numpy as np
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
        for tensor in batch:
            tensor.fill_(7)  # a user's own transformation, in place
    both.audit()


def test_state_dict_of_a_buffer_never_used() -> None:
    both = Both(24, lanes=2)
    state = both.buffer.state_dict()
    both.buffer = both.new_buffer(seed=999)
    both.buffer.load_state_dict(state)
    both.begin().add(9).audit()


def test_a_loaded_buffer_shares_no_memory_with_the_first() -> None:
    both = Both(24, lanes=2, seed=5).begin().add(30)
    other = Both(24, lanes=2, seed=6)
    other.buffer.load_state_dict(both.buffer.state_dict())
    other.oracle = Both(24, lanes=2, seed=5).begin().add(30).oracle
    other.begin().add(17).audit(at_least=500)
    both.audit(at_least=500)
