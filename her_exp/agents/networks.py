"""The networks of our agents: perceptrons, alone or side by side; what a Gaussian policy makes of one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her_exp.agents.products import Layers, is_lifted, pays, product
from her_exp.types import UserError

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: Bounds of the logarithm of the standard deviation; beyond them it has no slope.
LOG_STD = (-20.0, 2.0)


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
        self._format = _FORMATS[precision]
        self._last = str(len(pairs) - 1)
        self._widest = str(max(range(len(pairs)), key=lambda i: math.prod(pairs[i])))

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
        wide = layers[self._widest]._parameters["weight"]
        learns = (wide.requires_grad or x.requires_grad) and torch.is_grad_enabled()
        if learns and pays(x.shape[0], wide, format):
            own: list[Tensor] = []
            for name, layer in layers.items():
                own += layer._parameters.values()
                own += norms[name]._parameters.values() if name in norms else ()
            return Layers.apply(x, format, bool(norms), *own)  # type: ignore[no-any-return, no-untyped-call]
        for name, layer in layers.items():
            weight, bias = layer._parameters["weight"], layer._parameters["bias"]
            if name == self._last:
                return product(x if x.dtype == torch.float32 else x.float(), weight, bias)
            if format != torch.float32:
                x, weight = x.to(format), weight.to(format)
            x = product(x, weight, bias, relu=not norms)
            if norms:
                norm = norms[name]._parameters
                x = torch.layer_norm(x, bias.shape, norm["weight"], norm["bias"]).relu_()
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
        if which is not None and not is_lifted() and which.device.type == "cpu":
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


def squash(raw: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return the action tanh(mean + std * noise), (b, a) in (-1, 1), and the logarithm of its density, (b,).

    Args:
        raw: (b, 2 a): the mean, then the logarithm of the standard deviation.
        noise: (b, a) standard normal.
    """
    mean, log_std = raw.chunk(2, dim=-1)
    log_std = log_std.clamp(*LOG_STD)
    before = torch.addcmul(mean, log_std.exp(), noise)
    # log(1 - tanh(u)^2) without the difference of nearly equal numbers
    volume = 2.0 * (math.log(2.0) - before - F.softplus(-2.0 * before))
    each = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi) - volume
    return torch.tanh(before), each.sum(-1)


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
