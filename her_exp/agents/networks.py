"""The networks of our agents: multilayer perceptrons, alone or side by side, and their matrix product."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her_exp.system.machine import library, products
from her_exp.types import UserError

#: oneDNN's matrix product, private to torch; where it pays says `system.machine`.
_ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
#: Multiplications in a float32 product from which on that is worth its 10 us a call.
_LARGE = 2**21

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_lifted = False  # torch's own products alone: what is private has no rule for many at once


@contextmanager
def lifted() -> Iterator[None]:
    """Take torch's own products in this block, which `torch.func` can lift."""
    global _lifted
    before, _lifted = _lifted, True
    try:
        yield
    finally:
        _lifted = before


def pays(x: Tensor, weight: Tensor) -> bool:
    """Say whether the product of x (b, i) and weight (o, i) is faster by oneDNN's private one."""
    if x.dtype == torch.float32 and x.shape[0] * weight.numel() < _LARGE:
        return False
    if _lifted or _ONEDNN is None or x.device.type != "cpu":
        return False
    return library() == "onednn" if x.dtype == torch.float32 else products().bfloat16


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """Return x @ weight.T + bias (b, o), for x (b, i) and weight (o, i); with `relu`, its ReLU.

    In float32 or, with sums in float32, in bfloat16, as x and weight are; the bias is float32. No
    gradient comes back through it where it is oneDNN's: `linear` has that.
    """
    # Without a bias torch's own product of bfloat16 is oneDNN's as well.
    if pays(x, weight) and (bias is not None or x.dtype == torch.float32):
        return _ONEDNN(x, weight, bias, "relu" if relu else "none", [], "")  # type: ignore[no-any-return]
    y = F.linear(x, weight, bias if bias is None else bias.to(x.dtype))
    return y.relu_() if relu else y


class _Linear(torch.autograd.Function):
    """`product` and its way back."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        return product(x, weight.to(x.dtype), bias, relu=relu)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, ctx.relu = inputs
        ctx.save_for_backward(x, weight, *([output] if ctx.relu else []))

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        x, weight, *y = ctx.saved_tensors
        slope = torch.ops.aten.threshold_backward(slopes[0], y[0], 0) if y else slopes[0]
        by_x, by_weight, by_bias, _ = ctx.needs_input_grad
        return (
            product(slope, weight.to(x.dtype).t()) if by_x else None,
            product(slope.t(), x.t()) if by_weight else None,
            slope.sum(0, dtype=torch.float32) if by_bias else None,
            None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = False) -> Tensor:
    """Return x @ weight.T + bias (b, o) by the faster of a CPU's libraries; with `relu`, its ReLU."""
    if not pays(x, weight):
        if x.dtype != torch.float32:
            weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        y = F.linear(x, weight, bias)
        return y.relu_() if relu else y
    if (weight.requires_grad or x.requires_grad) and torch.is_grad_enabled():
        return _Linear.apply(x, weight, bias, relu)  # type: ignore[no-any-return, no-untyped-call]
    return product(x, weight.to(x.dtype), bias, relu=relu)


class MLP(nn.Module):
    """Linear layers with ReLU between them: (b, inputs) to (b, outputs), float32 both.

    With bfloat16 the layers up to the last hidden one multiply and hand on in it, and so do their
    gradients. Outputs, LayerNorm's statistics and all parameters stay float32: a value near -50 would
    move in steps of 0.25, and a step of Adam would be lost in a weight.

    Args:
        inputs, outputs: widths of what goes in and comes out.
        hidden_sizes: widths between them.
        layer_norm: LayerNorm before each ReLU.
        precision: 'float32' or 'bfloat16'.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden_sizes: Sequence[int] = (256, 256),
        *,
        layer_norm: bool = False,
        precision: str = "float32",
    ):
        super().__init__()
        pairs = list(itertools.pairwise([inputs, *hidden_sizes, outputs]))
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairs)
        self.norms = nn.ModuleList(nn.LayerNorm(o) for _, o in pairs[:-1] if layer_norm)
        self._format, self._last = _FORMATS[precision], len(pairs) - 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's output, without an activation."""
        return self._run(x, self._format)

    def exact(self, x: Tensor) -> Tensor:
        """Return what `forward` does, in float32 whatever the precision: for acting."""
        return self._run(x, torch.float32)

    def _run(self, x: Tensor, format: torch.dtype) -> Tensor:
        # Looked up past nn.Module's own way, which costs more than a small product.
        modules: Any = self._modules
        layers, norms = modules["layers"]._modules, modules["norms"]._modules
        for i, layer in enumerate(layers.values()):
            weight, bias = layer._parameters["weight"], layer._parameters["bias"]
            if i == self._last:
                return linear(x if x.dtype == torch.float32 else x.float(), weight, bias)
            if format != torch.float32:
                x = x.to(format)
            x = linear(x, weight, bias, relu=not norms)
            if norms:
                norm = norms[str(i)]
                scale, shift = norm._parameters["weight"], norm._parameters["bias"]
                x = torch.layer_norm(x, scale.shape, scale, shift, norm.eps).relu_()
        return x


class Several(nn.Module):
    """Networks of the same shape side by side: (b, i) to (n, b, o).

    A list and no batched product: `torch.bmm` takes 1.6 to 2.2 times as long as the products of
    each network by oneDNN (2 and 5 networks of 256 units, batch 256 and 1024, one thread).
    """

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor, which: Tensor | None = None) -> Tensor:
        """Return the outputs of all networks, or of those numbered in `which` (k,) int64."""
        chosen = list(self.networks)
        if which is not None and not _lifted and which.device.type == "cpu":
            return torch.stack([chosen[i](x) for i in which.tolist()])
        outputs = torch.stack([network(x) for network in chosen])
        return outputs if which is None else outputs.index_select(0, which)


class Temperature(nn.Module):
    """What a unit of entropy is worth, as a parameter: its logarithm.

    Args:
        start: the first value.
    """

    def __init__(self, start: float):
        super().__init__()
        self.log = nn.Parameter(torch.tensor([start]).log())

    def forward(self) -> Tensor:
        """Return the logarithm, 0-d."""
        return self.log[0]


def check_network(network: nn.Module, inputs: int, outputs: int, key: str) -> None:
    """Raise UserError unless a network is a function of its inputs alone, all of whose parameters count.

    Dropout, batch norm and the like are not: a run could not go on as if it had never stopped, nor could
    its losses be taken for many runs at once.
    """
    x = torch.linspace(-1.0, 1.0, 8 * inputs).view(8, inputs)
    # By its version also a write is seen that changes nothing today: spectral norm at rest.
    held = [(buffer.clone(), buffer._version) for buffer in network.buffers()]
    with torch.random.fork_rng(devices=[]):
        before = torch.random.get_rng_state()
        first, second = network(x), network(x)
        drawn = not torch.equal(before, torch.random.get_rng_state())
    if not isinstance(first, Tensor) or first.shape != (8, outputs):
        told = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise UserError(f"{key}: gives {told} for 8 inputs; it must give (8, {outputs})")
    if drawn:
        raise UserError(f"{key}: draws random numbers in a pass (dropout?); leave that out")
    changed = any(
        version != now._version or not torch.equal(value, now)
        for (value, version), now in zip(held, network.buffers(), strict=True)
    )
    if changed or not torch.equal(first, second):
        raise UserError(f"{key}: a pass changes it (batch norm, spectral norm?); leave that out")
    names, own = zip(*network.named_parameters(), strict=True)
    unused = torch.autograd.grad(first.sum(), own, allow_unused=True)
    lost = [name for name, slope in zip(names, unused, strict=True) if slope is None]
    if lost:
        raise UserError(f"{key}: {', '.join(lost)} have no part in what it gives; leave them out")
