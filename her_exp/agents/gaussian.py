"""A Gaussian policy squashed into the Box by tanh (Haarnoja et al. 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

#: Bounds of the logarithm of the standard deviation; beyond them it has no slope.
LOG_STD = (-20.0, 2.0)


def squash(raw: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return the action tanh(mean + std * noise), (b, a) in (-1, 1), and the logarithm of its density, (b,).

    Args:
        raw: (b, 2 a): the mean, then the logarithm of the standard deviation.
        noise: (b, a) standard normal.
    """
    mean, log_std = raw.chunk(2, dim=-1)
    log_std = log_std.clamp(*LOG_STD)
    before = torch.addcmul(mean, log_std.exp(), noise)
    # log(1 - tanh(u)^2) without the difference of nearly equal numbers
    volume = 2.0 * (math.log(2.0) - before - F.softplus(-2.0 * before))
    each = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi) - volume
    return torch.tanh(before), each.sum(-1)
