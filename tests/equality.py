"""Where two values differ by as much as a bit, all the way down: states, batches, steps of envs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return a line for each place in which two values differ, in type, dtype, shape or any bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        lines = [f"{where}.{key}: only in one" for key in one.keys() ^ other.keys()]
        both = one.keys() & other.keys()
        return lines + [d for k in both for d in differences(one[k], other[k], f"{where}.{k}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype
        one, other = one.detach().numpy(), other.detach().numpy()
    else:
        same = type(one) is type(other)
    if same and isinstance(one, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape
        same = same and one.tobytes() == other.tobytes()
        return [] if same else [f"{where}: arrays differ"]
    return [] if same and one == other else [f"{where}: {one} or {other}"]


def equal(one: Any, other: Any) -> bool:
    return not differences(one, other)
