"""Goal-conditioned behaviour cloning: a policy learns the actions that led to goals, and nothing else.

The action of a step is taken for a good one for any goal that was reached after it. Of demonstrations that
is goal-conditioned behaviour cloning (Lynch et al. 2019, arXiv:1903.01973; Ding et al. 2019,
arXiv:1906.05838), of the policy's own episodes goal-conditioned supervised learning (GCSL, Ghosh et al. 2019,
arXiv:1912.06088).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from her_exp.agents.base import Learned
from her_exp.agents.box import DeterministicAgent
from her_exp.agents.engine import Move
from her_exp.limits import Positive
from her_exp.types import Metrics


@dataclass(kw_only=True, eq=False, repr=False)
class GCBC(DeterministicAgent):
    """A deterministic policy alone, for Box actions of any bounds.

    Settings: see `conf/agent/gcbc.yaml`. Rewards, ends, next states and `gamma` have no part in it.
    """

    #: Every goal of a batch is taken for one that was reached after its step (`config/rules.py`).
    learns_from_reached: ClassVar[bool] = True

    actor_lr: Positive = 2e-3

    def prepare(self) -> None:
        """Say that it has no values."""
        super().prepare()
        self.return_range = None

    def moves(self) -> Sequence[Move]:
        """One loss of one network."""
        return (Move("actor_loss", {"actor": "actor_lr"}),)

    def networks(self) -> dict[str, nn.Module]:
        """Return the policy."""
        return {"actor": self.make_network(self.state_dim, self.action_dim)}

    def actor_loss(
        self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any
    ) -> tuple[Tensor, Metrics]:
        """The squared distance to demonstrated actions, or to all where there are no demonstrations.

        Meant over rows and coordinates, in units of half the Box.
        """
        error = (torch.tanh(nets.actor(batch.state)) - batch.action).square().mean(-1)
        if batch.demonstrated is None:
            return error.mean(), {}
        counted = batch.demonstrated.sum().clamp(min=1.0)
        return (batch.demonstrated * error).sum() / counted, {}
