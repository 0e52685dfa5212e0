"""What a run counts, and that nothing of a diverged one is saved."""

from __future__ import annotations

import math

import pytest
import torch

from her_exp.record import Record
from her_exp.types import UserError


def test_metrics_of_different_beats_are_averaged_apart() -> None:
    record = Record()
    record.learned([{"critic_loss": torch.tensor(1.0)}, {"critic_loss": 3.0, "actor_loss": 5.0}])
    assert record.updates == 2
    assert record.losses() == {
        "train/critic_loss": 2.0, "train/actor_loss": 5.0, "train/updates": 2.0
    }  # fmt: skip
    assert record.losses() == {"train/updates": 2.0}


def test_a_loss_that_is_not_finite_is_seen_before_anything_is_saved() -> None:
    record = Record()
    record.learned([{"critic_loss": torch.tensor(1.0)}, {"critic_loss": torch.tensor(math.nan)}])
    with pytest.raises(UserError, match=r"train/critic_loss is nan.*diverged"):
        record.check_learning()


def test_pending_metrics_survive_a_checkpoint() -> None:
    record = Record()
    record.learned([{"critic_loss": torch.tensor(2.0)}])
    other = Record()
    other.load_state_dict(record.state_dict())
    other.learned([{"critic_loss": torch.tensor(4.0)}])
    assert (other.updates, other.losses()) == (
        2,
        {"train/critic_loss": 3.0, "train/updates": 2.0},
    )
