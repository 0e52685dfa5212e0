"""A residual network, as `agent.network`: what deeper value functions are made of since SimBa and BRO."""

from __future__ import annotations

from torch import Tensor, nn

from her_exp.limits import Count, check_arguments


class Residual(nn.Module):
    """Blocks that add to what they are given, LayerNorm before each: (b, inputs) to (b, outputs), float32.

    SimBa's network (Lee et al. 2024, arXiv:2410.09754) without its own normalisation of inputs, which the
    agent has; BRO's (Nauman et al. 2024, arXiv:2405.16158) puts LayerNorm after each layer of a block.
    Initialised as torch does.

    Args:
        inputs, outputs: widths of what goes in and comes out; the agent gives them.
        width: numbers that the blocks hand on.
        blocks: how many.
        expansion: hidden units of a block, in widths.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: Count = 128,
        blocks: Count = 2,
        expansion: Count = 4,
    ):
        super().__init__()
        check_arguments(Residual, locals())
        hidden = expansion * width
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)
            )
            for _ in range(blocks)
        )
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's output, without an activation."""
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.last(x)
        return out
