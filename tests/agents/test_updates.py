"""What holds of every agent's updates: what they give, draw, and leave alone."""

from __future__ import annotations

import copy
import logging
import random
from typing import Any

import numpy as np
import pytest
import torch

from her_exp.types import Batch
from tests.agents.kit import ALL, ON_DISCRETE, batches, gcbc, inputs, sac, see
from tests.equality import equal


@ALL
def test_what_acting_and_updating_leave_alone(make: Any) -> None:
    """The batch, the normaliser, and the global streams."""

    def streams() -> Any:
        return torch.get_rng_state(), np.random.get_state()[1:], random.getstate()  # noqa: NPY002

    before = streams()
    agent = make()
    see(agent)
    normaliser = copy.deepcopy(agent.inputs.state_dict())
    for explore in (True, False):
        agent.act(*inputs(4), explore=explore)
    for batch in batches(make, 2):
        kept = Batch(**{name: part.clone() for name, part in batch.parts.items()})
        agent.update(batch)
        assert equal(batch.parts, kept.parts)
    assert equal(before, streams())
    assert equal(normaliser, agent.inputs.state_dict())
    see(agent, seed=4)
    assert not equal(normaliser, agent.inputs.state_dict())


@ALL
def test_metrics_are_detached_scalars(make: Any) -> None:
    agent = make()
    first, second = (agent.update(batch) for batch in batches(make, 2))
    critic = set() if make is gcbc else {"critic_loss", "q_mean"}
    assert critic <= first.keys() <= second.keys()
    assert ("actor_loss" in second) == (make not in ON_DISCRETE)
    for value in [*first.values(), *second.values()]:
        assert isinstance(value, torch.Tensor)
        assert (value.ndim, value.requires_grad) == (0, False)


def test_learning_without_a_word_of_a_step_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """In a loop of one's own that forgets `observe` the first, random steps would never end."""
    caplog.set_level(logging.WARNING)
    silent, told = sac(), sac()
    see(told, steps=8)
    for batch in batches(sac, 2):
        silent.update(batch)
        told.update(batch)
    (line,) = [record.message for record in caplog.records]
    assert "call observe(...)" in line
