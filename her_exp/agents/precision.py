"""The number format of the networks' matrix products."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, get_args

import torch

log = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "auto"]

#: Narrower than this, casting costs what the faster products save.
_WIDE = 128


def has_bfloat16() -> bool:
    """Say whether the CPU multiplies bfloat16 itself; without, it is emulated and slow."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_precision(
    precision: str, device: torch.device, hidden_sizes: Sequence[int]
) -> Literal["float32", "bfloat16"]:
    """Return the format that `precision` stands for: float32, bfloat16, or of these the faster (auto).

    Raises:
        ValueError: for anything else.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision!r} must be one of {', '.join(get_args(Precision))}")
    wide = min(hidden_sizes, default=0) >= _WIDE
    if precision == "auto":
        measured = device.type == "cpu"  # that it is faster, and learns as well
        return "bfloat16" if measured and wide and has_bfloat16() else "float32"
    if precision == "bfloat16" and device.type == "cuda":
        log.warning("precision=bfloat16: untested on CUDA; float32 is what has been tried there")
    elif precision == "bfloat16" and not has_bfloat16():
        log.warning("precision=bfloat16: this machine emulates it, slowly; float32 would be faster")
    return "float32" if precision == "float32" else "bfloat16"
