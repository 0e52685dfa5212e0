"""What a run counts, and that nothing of a diverged one is saved."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from her_exp.training.progress import Record
from her_exp.types import UserError


def test_metrics_of_different_beats_are_averaged_apart_over_a_checkpoint_too() -> None:
    before, record = Record(), Record()
    before.learned([{"critic_loss": torch.tensor(1.0)}, {"critic_loss": 3.0, "actor_loss": 5.0}])
    record.load_state_dict(before.state_dict())
    record.learned([{"critic_loss": torch.tensor(5.0)}])
    assert record.updates == 3
    losses = {"train/critic_loss": 3.0, "train/actor_loss": 5.0, "train/updates": 3.0}
    assert record.losses() == losses
    assert record.losses() == {"train/updates": 3.0}


def test_a_loss_that_is_not_finite_is_seen_before_anything_is_saved() -> None:
    record = Record()
    record.learned([{"critic_loss": torch.tensor(1.0)}, {"critic_loss": torch.tensor(math.nan)}])
    with pytest.raises(UserError, match=r"train/critic_loss is nan.*diverged"):
        record.check_learning()


class OnDevice(torch.Tensor):
    """Stands for a tensor on a GPU: nothing takes it together with one of the CPU."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.cpu:
            with torch._C.DisableTorchFunctionSubclass():
                return args[0].as_subclass(torch.Tensor)
        if func is torch.stack:
            raise RuntimeError("Expected all tensors to be on the same device")
        return super().__torch_function__(func, types, args, kwargs)


def test_metrics_of_two_devices_are_saved_together() -> None:
    """After a resume on a GPU the loaded ones are on the CPU, the new ones are not."""
    record = Record()
    record.learned([{"q_mean": torch.tensor(1.0)}])
    record.learned([{"q_mean": torch.tensor(2.0).as_subclass(OnDevice)}])
    pending = record.state_dict()["pending"]["q_mean"]
    assert type(pending) is torch.Tensor
    assert pending.tolist() == [1.0, 2.0]
