"""Draws of the hindsight buffer: how many are relabelled, of which generator, and what they leave alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.buffers.side_by_side import Both


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


@pytest.mark.parametrize("k", [0, 1, 4, 8, math.inf])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_share_of_relabelled_steps(k: float, batch_size: int) -> None:
    both = Both(12, lanes=2, k=k, seed=4).begin().add(25)
    share = 1.0 if k == math.inf else k / (k + 1)
    assert both.buffer.relabel_share == both.buffer.achieved_share == pytest.approx(share)
    both.audit(batch_size=batch_size, n_batches=2, at_least=800 * batch_size)


def test_the_normaliser_is_told_how_many_goals_are_achieved_ones() -> None:
    """Two of five: one is the step's own, two others were asked for somewhere (test_properties)."""
    assert Both(k=4, strategy="future_actual").buffer.achieved_share == pytest.approx(0.4)
