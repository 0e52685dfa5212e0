"""A network with RMSNorm in place of LayerNorm, for `learning_results.py point_reach_rms_norm`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import nn


class RMSNormed(nn.Sequential):
    """Linear layers with RMSNorm and ReLU between them.

    Args:
        inputs, outputs: widths of what goes in and comes out.
        hidden_sizes: widths between them.
    """

    def __init__(self, inputs: int, outputs: int, hidden_sizes: Sequence[int] = (64, 64)):
        parts: list[nn.Module] = []
        for i, o in itertools.pairwise([inputs, *hidden_sizes]):
            parts += [nn.Linear(i, o), nn.RMSNorm(o), nn.ReLU()]
        super().__init__(*parts, nn.Linear(hidden_sizes[-1], outputs))
