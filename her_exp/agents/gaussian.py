"""A Gaussian policy squashed into the Box by tanh, and its way back (Haarnoja et al. 2018)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

#: Bounds of the logarithm of the standard deviation; beyond them it has no slope.
LOG_STD = (-20.0, 2.0)


class Squashed(NamedTuple):
    """An action drawn from the policy, and what the way back needs of it."""

    action: Tensor  #: (b, a) in (-1, 1)
    log_prob: Tensor  #: (b,) logarithm of the density of `action`
    std: Tensor  #: (b, a) before the squashing
    noise: Tensor  #: (b, a) standard normal
    free: Tensor  #: (b, a) 1.0 where the standard deviation is not at a bound


def squash(raw: Tensor, noise: Tensor) -> Squashed:
    """Return tanh(mean + std * noise) and its log-density.

    Args:
        raw: (b, 2 a): the mean, then the logarithm of the standard deviation.
        noise: (b, a) standard normal.
    """
    mean, log_std = raw.chunk(2, dim=-1)
    free = ((log_std > LOG_STD[0]) & (log_std < LOG_STD[1])).to(raw.dtype)
    log_std = log_std.clamp(*LOG_STD)
    std = log_std.exp()
    before = torch.addcmul(mean, std, noise)
    # log(1 - tanh(u)^2) without the difference of nearly equal numbers
    volume = 2.0 * (math.log(2.0) - before - F.softplus(-2.0 * before))
    each = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi) - volume
    return Squashed(torch.tanh(before), each.sum(-1), std, noise, free)


def squash_slope(drawn: Squashed, action_slope: Tensor, log_prob_slope: Tensor) -> Tensor:
    """Return a loss's gradient by `raw` (b, 2 a), the noise held fixed.

    Args:
        drawn: what `squash` returned.
        action_slope: (b, a) the loss's gradient by the action.
        log_prob_slope: (b,) that by the log-density, or one number for all.
    """
    action, weight = drawn.action, log_prob_slope.unsqueeze(-1)
    # The log-density depends on u = mean + std * noise through its volume alone: d/du is 2 tanh(u).
    by_mean = action_slope * (1.0 - action.square()) + 2.0 * weight * action
    by_log_std = (by_mean * drawn.std * drawn.noise - weight) * drawn.free
    return torch.cat([by_mean, by_log_std], dim=-1)
