"""The number format of the networks' matrix products."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, get_args

import torch

from her_exp.system.machine import products

log = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "auto"]

#: Narrower than this, casting costs what the faster products save.
_WIDE = 128


def refusal(precision: str | None, device: torch.device) -> str | None:
    """Return what keeps `device` from multiplying in `precision`, or None."""
    if precision != "bfloat16" or device.type != "cpu" or products().bfloat16:
        return None
    return "this CPU does not multiply bfloat16: float32 is ten times faster on it"


def resolve_precision(
    precision: str, device: torch.device, hidden_sizes: Sequence[int]
) -> Literal["float32", "bfloat16"]:
    """Return the format that `precision` stands for: float32, bfloat16, or of these the faster (auto).

    Raises:
        ValueError: for anything else, and for bfloat16 on a CPU that does not multiply it.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision!r} must be one of {', '.join(get_args(Precision))}")
    wide = min(hidden_sizes, default=0) >= _WIDE
    if precision == "auto":
        measured = device.type == "cpu"  # that it is faster, and learns as well
        return "bfloat16" if measured and wide and products().bfloat16 else "float32"
    if wrong := refusal(precision, device):
        raise ValueError(f"precision={precision}: {wrong}; take precision=auto")
    if precision == "bfloat16" and device.type == "cuda":
        log.warning("precision=bfloat16: untested on CUDA; float32 is what has been tried there")
    return "float32" if precision == "float32" else "bfloat16"
