"""The matrix products that an update of DDPG cannot do without, to compare an update with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STATE, ACTION = 25 + 3, 4  # FetchPush's

Product = tuple[str, int, int, int]  # kind, batch, inputs, outputs of the layer


def products(hidden: list[int], batch: int) -> list[Product]:
    """List the products of one update: kind and layer of each."""

    def layers(sizes: list[int]) -> list[tuple[int, int]]:
        return list(itertools.pairwise(sizes))

    actor = layers([STATE, *hidden, ACTION])
    critic = layers([STATE + ACTION, *hidden, 1])
    # What enters a network needs no gradient, but for the action that the actor hands to the critic.
    crossed = [(ACTION, critic[0][1]), *critic[1:]]
    parts = [
        ("forward", actor),  # target: next action
        ("forward", critic),  # target: its value
        ("forward", critic),  # value of the stored action
        ("weight", critic),
        ("input", critic[1:]),
        ("forward", actor),  # the action that the policy takes now
        ("forward", critic),  # its value
        ("input", crossed),
        ("weight", actor),
        ("input", actor[1:]),
    ]
    return [(kind, batch, i, o) for kind, these in parts for i, o in these]


def run_products(
    listed: list[Product], multiply: Callable[..., Any], dtype: torch.dtype = torch.float32
) -> Callable[[], None]:
    """Return a function that does all of them: `multiply(a, b, out)` is a @ b."""
    operands: list[tuple[Tensor, Tensor, Tensor]] = []
    for kind, batch, inputs, outputs in listed:
        shapes = ((batch, inputs), (outputs, inputs), (batch, outputs))
        x, w, g = (torch.randn(shape).to(dtype) for shape in shapes)
        a, b = {"forward": (x, w.t()), "input": (g, w), "weight": (g.t(), x)}[kind]
        operands.append((a, b, torch.empty(a.shape[0], b.shape[1], dtype=dtype)))

    def run() -> None:
        for a, b, out in operands:
            multiply(a, b, out)

    return run


def by_mm(a: Tensor, b: Tensor, out: Tensor) -> None:
    torch.mm(a, b, out=out)


def by_onednn(a: Tensor, b: Tensor, out: Tensor) -> None:
    torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")
