"""Truncated quantile critics (Kuznetsov et al. 2020, arXiv:2005.04269), goal-conditioned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from her_exp.agents.ddpg import joined
from her_exp.agents.sac import SAC
from her_exp.learning.quantiles import quantile_huber
from her_exp.limits import AtMost, Count, NotNegativeCount


@dataclass(kw_only=True, eq=False, repr=False)
class TQC(SAC):
    """SAC whose critics give quantiles of the return; the target leaves the highest out.

    Settings: those of `SAC`, and see `conf/agent/tqc.yaml`. With `target_critics`, the target pools so
    many critics, drawn anew for each update. The policy climbs the mean of all quantiles of all critics.
    """

    n_quantiles: Count = 25
    drop_quantiles: Annotated[NotNegativeCount, AtMost("n_quantiles", less=True)] = 2

    @property
    def critic_outputs(self) -> int:
        """Numbers that each critic gives."""
        return self.n_quantiles

    def pool(self, values: Tensor) -> Tensor:
        """Return the lowest quantiles (b, n * kept) of all target critics' (n, b, n_quantiles)."""
        n, b, m = values.shape
        together = values.transpose(0, 1).reshape(b, n * m)
        kept = n * (m - self.drop_quantiles)
        return together.topk(kept, largest=False, sorted=False).values

    def distance(self, q: Tensor, target: Tensor) -> Tensor:
        """Return each critic's mean quantile loss, (n,)."""
        return quantile_huber(q, target)

    def judge(self, nets: Any, state: Tensor, action: Tensor) -> Tensor:
        """Return all quantiles of all critics, (n, b, n_quantiles)."""
        values: Tensor = nets.critic(joined(state, action))
        return values
