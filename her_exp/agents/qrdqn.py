"""DQN with quantile regression (Dabney et al. 2018, arXiv:1710.10044), goal-conditioned."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from her_exp.agents.dqn import DQN
from her_exp.agents.quantiles import quantile_huber
from her_exp.limits import check_ranges


class QRDQN(DQN):
    """Quantiles of the return of each action, for Discrete actions.

    Arguments: see `conf/agent/qrdqn.yaml`.

    Args:
        n_quantiles: outputs for each action; it is judged by their mean.
        **settings: those of `DQN`.
    """

    def __init__(self, n_quantiles: int = 25, **settings: Any):
        check_ranges("QRDQN", n_quantiles=n_quantiles)
        self.quantiles = n_quantiles
        super().__init__(**settings)

    def loss(self, q: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean quantile loss of quantiles (b, n_quantiles), and its slope by them."""
        return quantile_huber(q, target)
