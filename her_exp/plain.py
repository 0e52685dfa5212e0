"""Arrays as tensors, so that a checkpoint holds nothing that must be executed to be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def to_plain(value: Any) -> Any:
    """Return nested dicts, lists and tuples with arrays as tensors and NumPy scalars as numbers.

    Raises:
        TypeError: something else is in it.
    """
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return value
    raise TypeError(f"cannot be kept in a checkpoint: {type(value).__name__}")


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given, tensors as arrays again, tuples as lists."""
    if isinstance(value, dict):
        return {key: from_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    return value.numpy().copy() if isinstance(value, torch.Tensor) else value
