"""Quantile regression of a distribution of returns (Dabney et al. 2018, arXiv:1710.10044)."""

from __future__ import annotations

import torch
from torch import Tensor

#: Pairs of output and sample worked on at once on a CPU: 256 kB stay in its cache. All at once, a
#: batch of 256 takes three to five times as long, most of it in asking for memory.
_PAIRS = 2**16


def quantile_huber(quantiles: Tensor, target: Tensor) -> Tensor:
    """Return the quantile Huber loss, the mean over all pairs of output and sample: 0-d, or (n,).

    Each of the m outputs is fitted to the quantile of its place, (i + 1/2) / m, of the samples in
    `target`: errors count by the Huber loss (bound 1), those above the output with the weight of
    its quantile and those below with the rest.

    The pairs are walked once, for the loss and for its slope by the outputs, which is linear in the
    clamped errors: by autograd, pair by pair, that takes five times as long.

    Args:
        quantiles: (b, m), or (n, b, m) of n critics.
        target: (b, k) samples of what the outputs of a row are to be distributed like; no gradient.
    """
    b, m = quantiles.shape[-2:]
    place = torch.arange(1, 2 * m, 2, dtype=target.dtype, device=target.device) / (2 * m)
    place = place.unsqueeze(-1)
    pairs = quantiles.numel() // b * target.shape[-1]
    rows = max(1, _PAIRS // pairs) if target.device.type == "cpu" else b
    still = quantiles.detach()
    losses, slopes = [], []
    for start in range(0, b, rows):
        some, samples = still[..., start : start + rows, :], target[start : start + rows]
        error = samples.unsqueeze(-2) - some.unsqueeze(-1)  # (..., rows, m, k)
        pull = error.clamp(-1.0, 1.0)
        error = error.sub_(pull, alpha=0.5)  # the Huber loss is pull * (error - pull / 2)
        below = pull.clamp(max=0.0)
        pull = pull.mul_(place).add_(below.mul_(1.0 - 2.0 * place))  # weighted: place, 1 - place
        losses.append(error.mul_(pull).sum((-3, -2, -1)))
        slopes.append(pull.sum(-1))
    # The second part is nothing but its gradient.
    moved = (torch.cat(slopes, -2) * (still - quantiles)).sum((-2, -1))
    return (torch.stack(losses).sum(0) + moved) / (b * m * target.shape[-1])
