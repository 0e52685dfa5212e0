"""Quantile regression of a distribution of returns (Dabney et al. 2018, arXiv:1710.10044)."""

from __future__ import annotations

import torch
from torch import Tensor

#: Pairs of output and sample worked on at once on a CPU: 256 kB stay in its cache. All at once, a
#: batch of 256 takes three to five times as long, most of it in asking for memory.
_PAIRS = 2**16


def quantile_huber(quantiles: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the quantile Huber loss, and its gradient by the quantiles.

    Each of the m outputs is fitted to the quantile of its place, (i + 1/2) / m, of the samples in
    `target`: errors count by the Huber loss (bound 1), those above the output with the weight of
    its quantile and those below with the rest.

    Args:
        quantiles: (b, m), or (n, b, m) of n critics.
        target: (b, k) samples of what the outputs of a row are to be distributed like.

    Returns:
        loss: 0-d, the mean over all pairs of output and sample.
        slope: in the shape of `quantiles`, the gradient of that, or of its sum over critics.
    """
    critics = quantiles.view(-1, *quantiles.shape[-2:])
    n, b, m = critics.shape
    pairs = m * target.shape[-1]
    place = torch.arange(1, 2 * m, 2, dtype=target.dtype, device=target.device) / (2 * m)
    place = place.unsqueeze(-1)
    rows = max(1, _PAIRS // (n * pairs)) if target.device.type == "cpu" else b
    losses, slopes = [], []
    for start in range(0, b, rows):
        some, samples = critics[:, start : start + rows], target[start : start + rows]
        error = samples.unsqueeze(-2) - some.unsqueeze(-1)  # (n, rows, m, k)
        pull = error.clamp(-1.0, 1.0)
        error.sub_(pull, alpha=0.5)  # the Huber loss is pull * (error - pull / 2)
        below = pull.clamp(max=0.0)
        pull.mul_(place).addcmul_(below, 1.0 - 2.0 * place)  # weighted: place, 1 - place
        losses.append(error.mul_(pull).sum())
        slopes.append(pull.sum(-1))
    slope = torch.cat(slopes, 1).mul_(-1.0 / (b * pairs))
    return torch.stack(losses).sum() / (n * b * pairs), slope.view_as(quantiles)
