"""Multilayer perceptrons with a backward pass of their own, and the two ways in which parameters move.

No gradient here goes through autograd: its bookkeeping costs a small network as much as the products
do, and its products cannot be chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.adam import adam

from her_exp.system.machine import library, products

#: oneDNN's matrix product, private to torch; where it pays says `system.machine`.
_ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
#: Multiplications in a float32 product from which on that is worth its 10 us a call.
_LARGE = 2**21

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_relu_backward = torch.ops.aten.threshold_backward
_layer_norm_backward = torch.ops.aten.native_layer_norm_backward


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """Return x @ weight.T + bias (b, o), for x (b, i) and weight (o, i); with `relu`, its ReLU.

    In float32 or, with sums in float32, in bfloat16, as x and weight are; the bias is float32.
    """
    if x.dtype == torch.float32:
        fast = x.shape[0] * weight.numel() >= _LARGE and library() == "onednn"
    else:  # torch's own is oneDNN's too, without the bias and the ReLU
        fast = bias is not None and products().bfloat16
    # oneDNN's has no backward pass: whoever wants autograd after all gets the other.
    if fast and _ONEDNN is not None and x.device.type == "cpu" and not torch.is_grad_enabled():
        return _ONEDNN(x, weight, bias, "relu" if relu else "none", [], "")  # type: ignore[no-any-return]
    y = F.linear(x, weight, bias if bias is None else bias.to(x.dtype))
    return y.relu_() if relu else y


class Layer(NamedTuple):
    """What the backward pass of a layer needs of the forward pass."""

    x: Tensor  #: what went in
    weight: Tensor  #: as it was multiplied
    y: Tensor  #: what came out
    norm: tuple[Tensor, Tensor, Tensor] | None  #: LayerNorm's input, mean and 1 / deviation


Tape = list[Layer]


class MLP(nn.Module):
    """Linear layers with ReLU between them: (b, sizes[0]) to (b, sizes[-1]), float32 both.

    With bfloat16 the layers up to the last hidden one multiply and hand on in it, and so does the whole
    way back, from the output's slope on: gradients of hidden layers are rounded to it. Outputs, LayerNorm's
    statistics and all parameters stay float32: a value near -50 would move in steps of 0.25, and a step of
    Adam would be lost in a weight.

    Args:
        sizes: widths, input and output included.
        layer_norm: LayerNorm before each ReLU.
        precision: 'float32' or 'bfloat16'.
    """

    def __init__(
        self, sizes: Sequence[int], *, layer_norm: bool = False, precision: str = "float32"
    ):
        super().__init__()
        pairs = list(itertools.pairwise(sizes))
        linear = [nn.Linear(i, o) for i, o in pairs]
        norms = [nn.LayerNorm(o) for _, o in pairs[:-1]] if layer_norm else []
        self.layers, self.norms = nn.ModuleList(linear), nn.ModuleList(norms)
        self._format = _FORMATS[precision]
        # Plain lists: looking modules up costs more than a small product.
        self._linear = [(layer.weight, layer.bias) for layer in linear]
        self._norm = [(norm.weight, norm.bias, norm.eps) for norm in norms]

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's output, without an activation."""
        return self.record(x)[0]

    def exact(self, x: Tensor) -> Tensor:
        """Return what `forward` does, in float32 whatever the precision: for acting."""
        return self._run(x, torch.float32)[0]

    def record(self, x: Tensor) -> tuple[Tensor, Tape]:
        """Return what `forward` does, and what `gradients` and `slope` go back along."""
        return self._run(x, self._format)

    def _run(self, x: Tensor, format: torch.dtype) -> tuple[Tensor, Tape]:
        tape: Tape = []
        last = len(self._linear) - 1
        for i, (weight, bias) in enumerate(self._linear):
            norm = None
            used = torch.float32 if i == last else format
            x, weight = x.to(used), weight.to(used)
            y = product(x, weight, bias, relu=i < last and not self._norm)
            if i < last and self._norm:
                before, (scale, shift, eps) = y, self._norm[i]
                y, mean, rstd = torch.native_layer_norm(before, scale.shape, scale, shift, eps)
                norm = (before, mean, rstd)
                # In place: no backward pass needs what goes into a ReLU, only what comes out.
                y = y.relu_()
            tape.append(Layer(x, weight, y, norm))
            x = y
        return x, tape

    def gradients(self, tape: Tape, slope: Tensor) -> list[Tensor]:
        """Return a loss's gradients by the parameters, in their order.

        Args:
            tape: of the forward pass.
            slope: the loss's gradient by the output, (b, sizes[-1]).
        """
        return self._back(tape, slope, parameters=True)[1]

    def slope(self, tape: Tape, slope: Tensor) -> Tensor:
        """Return a loss's gradient by the input (b, sizes[0]), given that by the output."""
        return self._back(tape, slope, parameters=False)[0].float()

    def _back(self, tape: Tape, slope: Tensor, parameters: bool) -> tuple[Tensor, list[Tensor]]:
        linear: list[Tensor] = []
        norms: list[Tensor] = []
        last = len(tape) - 1
        for i in range(last, -1, -1):
            x, weight, y, norm = tape[i]
            if i < last:
                slope = _relu_backward(slope, y, 0)
                if norm is not None:
                    scale, shift, _ = self._norm[i]
                    slope, *both = _layer_norm_backward(
                        slope, norm[0], scale.shape, *norm[1:], scale, shift, [True, parameters, parameters]
                    )  # fmt: skip
                    norms = [*both, *norms]
            if parameters:
                linear = [product(slope.t(), x.t()), slope.sum(0), *linear]
            if i or not parameters:
                used = tape[0].x.dtype
                slope = product(slope.to(used), weight.to(used).t())
        return slope, linear + norms


def _as_vector(network: nn.Module) -> Tensor:
    """Make all parameters views of one vector, and return it: it moves in one go."""
    parameters = list(network.parameters())
    vector = torch.cat([p.detach().reshape(-1) for p in parameters])
    for parameter, part in zip(parameters, _parts(vector, network), strict=True):
        parameter.data = part
    return vector


def _parts(vector: Tensor, network: nn.Module) -> list[Tensor]:
    """Return views of a vector in the shapes of the parameters."""
    shapes = [p.shape for p in network.parameters()]
    parts = torch.split(vector, [shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


class Learner:
    """A network with its Adam and, if asked, its target.

    Args:
        network: what learns.
        lr: Adam's learning rate.
        target: a network of the same shape that follows; it starts as a copy.
        grad_clip_norm: largest norm of the whole gradient, or None.

    Attributes:
        gradient: of the last step, over all parameters in their order.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float,
        target: nn.Module | None = None,
        grad_clip_norm: float | None = None,
    ):
        self.network, self.target, self._clip, self._lr = network, target, grad_clip_norm, lr
        self._vector = _as_vector(network)
        self.gradient = torch.zeros_like(self._vector)
        self._gradients = _parts(self.gradient, network)
        self._adam = {
            "mean": torch.zeros_like(self._vector),
            "square": torch.zeros_like(self._vector),
            "steps": torch.zeros((), device=self._vector.device),
        }
        if target is not None:
            target.load_state_dict(network.state_dict())
            target.requires_grad_(False)
            self._target_vector = _as_vector(target)

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step of Adam (Kingma & Ba 2015), given the loss's gradients by the parameters."""
        torch._foreach_copy_(self._gradients, list(gradients))
        if self._clip is not None:
            norm = torch.linalg.vector_norm(self.gradient)
            self.gradient.mul_((self._clip / (norm + 1e-6)).clamp_(max=1.0))
        mean, square, steps = self._adam.values()
        adam(
            [self._vector], [self.gradient], [mean], [square], [], [steps], fused=True,
            lr=self._lr, beta1=0.9, beta2=0.999, eps=1e-8,
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip

    def move_target(self, tau: float) -> None:
        """Move the target by the share `tau` towards the network."""
        self._target_vector.lerp_(self._vector, tau)

    def state_dict(self) -> dict[str, object]:
        """Return network, target and optimiser."""
        state: dict[str, object] = {
            "network": self.network.state_dict(),
            "optimizer": dict(self._adam),
        }
        if self.target is not None:
            state["target"] = self.target.state_dict()
        return state

    def load_state_dict(self, state: dict[str, dict[str, Any]]) -> None:
        """Restore `state_dict`."""
        self.network.load_state_dict(state["network"])
        for name, value in self._adam.items():
            value.copy_(state["optimizer"][name])
        if self.target is not None:
            self.target.load_state_dict(state["target"])
