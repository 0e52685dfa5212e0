"""Truncated quantile critics (Kuznetsov et al. 2020, arXiv:2005.04269), goal-conditioned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from her_exp.agents.quantiles import quantile_huber
from her_exp.agents.sac import SAC
from her_exp.limits import check_ranges


class TQC(SAC):
    """SAC whose critics give quantiles of the return; the target leaves the highest out.

    Arguments: see `conf/agent/tqc.yaml`.

    Args:
        n_quantiles: outputs of each critic.
        drop_quantiles: so many for each target critic are left out of the pooled target, the highest.
        **settings: those of `SAC`; with `target_critics`, the target pools so many critics, drawn anew
            for each update. The policy climbs the mean of all quantiles of all critics.
    """

    def __init__(self, n_quantiles: int = 25, drop_quantiles: int = 2, **settings: Any):
        check_ranges("TQC", n_quantiles=n_quantiles, drop_quantiles=drop_quantiles)
        if drop_quantiles >= n_quantiles:
            raise ValueError(
                f"TQC: drop_quantiles={drop_quantiles} must be less than n_quantiles={n_quantiles}"
            )
        self.outputs, self.drop_quantiles = n_quantiles, drop_quantiles
        super().__init__(**settings)

    def pool(self, values: Tensor) -> Tensor:
        """Return the lowest quantiles (b, n * kept) of all target critics' (n, b, n_quantiles)."""
        n, b, m = values.shape
        together = values.transpose(0, 1).reshape(b, n * m)
        kept = n * (m - self.drop_quantiles)
        return together.topk(kept, largest=False, sorted=False).values

    def critic_loss(self, values: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean quantile loss, and the slope of its sum over critics by `values`."""
        return quantile_huber(values, target)

    def climb(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of all, which the policy climbs, and its slope by `values`."""
        return values.mean(), torch.full_like(values, 1 / values.numel())
