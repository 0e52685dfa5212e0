"""Multilayer perceptrons, and the two ways in which their parameters move."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MLP(nn.Module):
    """Linear layers with ReLU between them: (b, sizes[0]) to (b, sizes[-1]).

    Args:
        sizes: widths, input and output included.
        layer_norm: LayerNorm before each ReLU.
    """

    def __init__(self, sizes: Sequence[int], *, layer_norm: bool = False):
        super().__init__()
        pairs = list(itertools.pairwise(sizes))
        linear = [nn.Linear(i, o) for i, o in pairs]
        norms = [nn.LayerNorm(o) for _, o in pairs[:-1]] if layer_norm else []
        self.layers, self.norms = nn.ModuleList(linear), nn.ModuleList(norms)
        # Plain lists: looking modules up costs more than a small product.
        self._linear = [(layer.weight, layer.bias) for layer in linear]
        self._norm = [(norm.weight, norm.bias) for norm in norms]

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's output, without an activation."""
        last = len(self._linear) - 1
        for i, (weight, bias) in enumerate(self._linear):
            x = F.linear(x, weight, bias)
            if i < last:
                if self._norm:
                    x = F.layer_norm(x, x.shape[-1:], *self._norm[i])
                # In place: no backward pass needs what goes into a ReLU, only what comes out.
                x = F.relu_(x)
        return x


class Learner:
    """A network with its Adam and, if asked, its target.

    Args:
        network: what learns.
        lr: Adam's learning rate.
        target: a network of the same shape that follows; it starts as a copy.
        grad_clip_norm: largest norm of the whole gradient, or None.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float,
        target: nn.Module | None = None,
        grad_clip_norm: float | None = None,
    ):
        self.network, self.target, self._clip = network, target, grad_clip_norm
        self.parameters: list[Tensor] = list(network.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, fused=True)
        self._target_parameters: list[Tensor] = []
        if target is not None:
            target.load_state_dict(network.state_dict())
            target.requires_grad_(False)
            self._target_parameters = list(target.parameters())

    def minimize(self, loss: Tensor) -> None:
        """Take one step. Only this network's gradients are computed, whatever else the loss crosses."""
        gradients = torch.autograd.grad(loss, self.parameters)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self._clip)
        self.optimizer.step()

    def move_target(self, tau: float) -> None:
        """Move the target by the share `tau` towards the network."""
        with torch.no_grad():
            torch._foreach_lerp_(self._target_parameters, self.parameters, tau)

    def state_dict(self) -> dict[str, object]:
        """Return network, target and optimiser."""
        state: dict[str, object] = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.target is not None:
            state["target"] = self.target.state_dict()
        return state

    def load_state_dict(self, state: dict[str, dict[str, object]]) -> None:
        """Restore `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.target is not None:
            self.target.load_state_dict(state["target"])
