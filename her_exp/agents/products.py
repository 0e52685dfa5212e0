"""Matrix products: in which number format, and by which of a CPU's two libraries.

oneDNN's product is private to torch: it has no gradient, and no rule for many runs at once. So where it
pays, all layers of a perceptron are one function with a way back of its own (`Layers`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from her_exp.system.machine import library, products
from her_exp.types import UserError

log = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "auto"]

#: Narrower than this, casting costs what the faster products of bfloat16 save.
_WIDE = 128
#: oneDNN's matrix product, private to torch; where it pays says `system.machine`.
_ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
#: Multiplications in a float32 product from which on that is worth its 10 us a call.
_LARGE = 2**21
_EPS = 1e-5  # of LayerNorm, as torch has it


def refusal(precision: str | None, device: torch.device) -> str | None:
    """Return what keeps `device` from multiplying in `precision`, or None."""
    if precision != "bfloat16" or device.type != "cpu" or products().bfloat16:
        return None
    return "this CPU does not multiply bfloat16: float32 is ten times faster on it"


def resolve_precision(
    precision: str, device: torch.device, hidden_sizes: Sequence[int]
) -> Literal["float32", "bfloat16"]:
    """Return the format that `precision` stands for: float32, bfloat16, or of these the faster (auto).

    Raises:
        ValueError: for anything else, and for bfloat16 on a CPU that does not multiply it.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision!r} must be one of {', '.join(get_args(Precision))}")
    wide = min(hidden_sizes, default=0) >= _WIDE
    if precision == "auto":
        measured = device.type == "cpu"  # that it is faster, and learns as well
        return "bfloat16" if measured and wide and products().bfloat16 else "float32"
    if wrong := refusal(precision, device):
        raise ValueError(f"precision={precision}: {wrong}; take precision=auto")
    if precision == "bfloat16" and device.type == "cuda":
        log.warning("precision=bfloat16: untested on CUDA; float32 is what has been tried there")
    return "float32" if precision == "float32" else "bfloat16"


_lifted = False  # many runs at once are being taken through the networks


@contextmanager
def lifted() -> Iterator[None]:
    """Take torch's own products in this block, which `torch.func` can lift."""
    global _lifted
    before, _lifted = _lifted, True
    try:
        yield
    finally:
        _lifted = before


def is_lifted() -> bool:
    """Say whether many runs at once are being taken through the networks."""
    return _lifted


def pays(rows: int, weight: Tensor, format: torch.dtype) -> bool:
    """Say whether the product of (rows, i) and weight (o, i) in this format is faster by oneDNN's own."""
    if format == torch.float32 and rows * weight.numel() < _LARGE:
        return False
    if _lifted or _ONEDNN is None or weight.device.type != "cpu":
        return False
    return library() == "onednn" if format == torch.float32 else products().bfloat16


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """Return x @ weight.T + bias (b, o), for x (b, i) and weight (o, i); with `relu`, its ReLU.

    In float32 or, with sums in float32, in bfloat16, as x and weight are; the bias is float32. No
    gradient comes back through it where it is oneDNN's: `Layers` has that.
    """
    # Without a bias torch's own product of bfloat16 is oneDNN's as well.
    if (bias is not None or x.dtype == torch.float32) and pays(x.shape[0], weight, x.dtype):
        return _ONEDNN(x, weight, bias, "relu" if relu else "none", [], "")  # type: ignore[no-any-return]
    if bias is not None and bias.dtype != x.dtype:
        bias = bias.to(x.dtype)
    y = F.linear(x, weight, bias)
    return y.relu_() if relu else y


class Layers(torch.autograd.Function):
    """All layers of a perceptron as one node of the graph: a node for each product costs 40 us more.

    Takes x (b, i) float32; the format of the layers up to the last hidden one (the last multiplies in
    float32); whether LayerNorm stands before each ReLU; of each layer weight and bias, with LayerNorm its
    scale and shift. Gradients are asked of all parameters, or of none. Gives the output (b, o) float32.

    Not for `torch.func`, which takes torch's own products (`lifted`): with a `setup_context` all that is
    kept would be outputs as well, which costs another 5 % of an update of 3x256.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, format: torch.dtype, normed: bool, *parameters: Tensor
    ) -> Tensor:
        """Return the output."""
        ctx.format, ctx.normed, ctx.count, first = format, normed, len(parameters), x
        # Of each hidden layer: with LayerNorm its input, mean and 1 / deviation; what ReLU gave.
        kept: list[Tensor] = []
        step = 4 if normed else 2
        for i in range(0, len(parameters) - 2, step):
            weight, bias, *norm = parameters[i : i + step]
            x = product(x.to(format), weight.to(format), bias, relu=not norm)
            if norm:
                y, mean, scale = torch.native_layer_norm(x, bias.shape, norm[0], norm[1], _EPS)
                kept += [x, mean, scale]
                x = y.relu_()
            kept.append(x)
        ctx.save_for_backward(first, *parameters, *kept)
        return product(x.float(), *parameters[-2:])

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        """Return the gradients by x and by the parameters, as far as they are asked."""
        if torch.is_grad_enabled():  # create_graph=True
            raise UserError(
                "a loss takes the gradient of a gradient, which oneDNN's products do not have: take "
                "products=torch agent.precision=float32"
            )
        saved, count, step = ctx.saved_tensors, ctx.count, 4 if ctx.normed else 2
        x, parameters, kept = saved[0], saved[1 : 1 + count], saved[1 + count :]
        into = [x, *(kept[3::4] if ctx.normed else kept)]  # each layer
        by_x, learns = ctx.needs_input_grad[0], ctx.needs_input_grad[3]
        found: list[Any] = [] if learns else [None] * count
        slope: Any = slopes[0]
        for i in reversed(range(len(into))):
            weight, _, *norm = parameters[i * step : (i + 1) * step]
            by_norm: list[Any] = []
            format = torch.float32 if i == len(into) - 1 else ctx.format
            if i < len(into) - 1:
                slope = torch.ops.aten.threshold_backward(slope.to(format), into[i + 1], 0)
            if norm:
                before, mean, scale = kept[4 * i : 4 * i + 3]
                slope, *by_norm = torch.ops.aten.native_layer_norm_backward(
                    slope, before, norm[0].shape, mean, scale, *norm, [True, learns, learns]
                )
            if learns:
                by_weight = product(slope.t(), into[i].to(format).t())
                found[:0] = [by_weight, slope.sum(0, dtype=torch.float32), *by_norm]
            if i or by_x:
                slope = product(slope, weight.to(format).t())
        return slope if by_x else None, None, None, *found
