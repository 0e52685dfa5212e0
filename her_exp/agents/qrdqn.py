"""DQN with quantile regression (Dabney et al. 2018, arXiv:1710.10044), goal-conditioned."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from her_exp.agents.dqn import DQN
from her_exp.learning.quantiles import quantile_huber
from her_exp.limits import Count


@dataclass(kw_only=True, eq=False, repr=False)
class QRDQN(DQN):
    """Quantiles of the return of each action, which is judged by their mean, for Discrete actions.

    Settings: those of `DQN`, and see `conf/agent/qrdqn.yaml`.
    """

    n_quantiles: Count = 25

    @property
    def quantiles(self) -> int:
        """Numbers for each action."""
        return self.n_quantiles

    def distance(self, q: Tensor, target: Tensor) -> Tensor:
        """Return the mean quantile loss of quantiles (b, n_quantiles)."""
        return quantile_huber(q, target)
