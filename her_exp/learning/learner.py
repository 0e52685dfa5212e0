"""A network as one vector, with Adam and a target that follows; or as many as there are runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Learner:
    """A network, or as many as there are runs, as one vector, with Adam's moments and a target.

    Args:
        networks: one for each run.
        target: does a copy follow?
        many: several runs at once: a leading axis on everything.
    """

    def __init__(self, networks: Sequence[nn.Module], target: bool, many: bool):
        self.network, self.many = networks[0], many
        self.target = copy.deepcopy(self.network).requires_grad_(False) if target else None
        vectors = [
            torch.cat([p.detach().reshape(-1) for p in one.parameters()]) for one in networks
        ]
        self.vector = torch.stack(vectors) if many else vectors[0]
        self.target_vector = self.vector.clone() if target else None
        self.gradient, self._mean, self._square = (torch.zeros_like(self.vector) for _ in range(3))
        self._steps = self.vector.new_zeros((len(networks), 1) if many else ())
        self.parameters = self._named(self.vector)
        self.target_parameters = (
            None if self.target_vector is None else self._named(self.target_vector)
        )
        self._parts = list(self._named(self.gradient).values())
        if not many:  # the modules' own parameters are parts of the vector: it moves in one go
            self._bind(self.network, self.parameters)
            self.network.requires_grad_(False)
            if self.target is not None and self.target_parameters is not None:
                self._bind(self.target, self.target_parameters)
        self.own = list(self.network.parameters())

    def _named(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the parts of a vector in the shapes of the parameters."""
        shapes = {name: p.shape for name, p in self.network.named_parameters()}
        parts = torch.split(vector, [shape.numel() for shape in shapes.values()], -1)
        lead = vector.shape[:-1]
        return {k: p.view(*lead, *s) for (k, s), p in zip(shapes.items(), parts, strict=True)}

    @staticmethod
    def _bind(module: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        for name, parameter in module.named_parameters():
            parameter.data = parameters[name]

    def step(
        self, gradients: Sequence[Tensor], lr: Any, clip: float | None, live: Tensor | None = None
    ) -> None:
        """Take one step of Adam (Kingma & Ba 2015); the norm of the whole gradient is at most `clip`.

        Of several runs those step that are `live` (n, 1).
        """
        torch._foreach_copy_(self._parts, list(gradients))
        if clip is not None:
            norm = torch.linalg.vector_norm(self.gradient, dim=-1, keepdim=True)
            self.gradient.mul_((clip / (norm + 1e-6)).clamp_(max=1.0))
        if not self.many:
            # torch's own `adam(fused=True)` is this, behind checks that cost three times as much.
            self._steps += 1
            torch._fused_adam_(
                [self.vector], [self.gradient], [self._mean], [self._square], [], [self._steps],
                lr=lr, beta1=0.9, beta2=0.999, eps=1e-8,
                weight_decay=0.0, amsgrad=False, maximize=False,
            )  # fmt: skip
            return
        # The fused kernel takes one number as its rate; here each run has its own.
        steps = self._steps + 1
        mean = self._mean.lerp(self.gradient, 0.1)
        square = (self._square * 0.999).addcmul_(self.gradient, self.gradient, value=0.001)
        exact = steps.double()  # near 1 float32 has too few digits for what is left
        by, root = (1 - 0.9**exact).to(steps), (1 - 0.999**exact).sqrt().to(steps)
        vector = self.vector - _column(lr) / by * mean / (square.sqrt() / root + 1e-8)
        _move(
            [self._steps, self._mean, self._square, self.vector],
            [steps, mean, square, vector],
            live,
        )

    def move_target(self, tau: Any, live: Tensor | None = None) -> None:
        """Move the target by the share `tau` towards the network."""
        if self.target_vector is None:
            return
        if live is None:
            self.target_vector.lerp_(self.vector, _column(tau))
        else:
            _move([self.target_vector], [self.target_vector.lerp(self.vector, _column(tau))], live)

    def adopt(self, one: Learner, number: int) -> None:
        """Make a learner of its own the run of that `number` here: from now on it is a part of this one."""
        parts = ("vector", "_mean", "_square", "gradient", "target_vector")
        for name in parts:
            if (whole := getattr(self, name)) is not None:
                whole[number].copy_(getattr(one, name))
                setattr(one, name, whole[number])
        self._steps[number] = one._steps
        one._steps = self._steps[number, 0]
        one.parameters, one._parts = one._named(one.vector), list(one._named(one.gradient).values())
        one._bind(one.network, one.parameters)
        if one.target_vector is not None and one.target is not None:
            one.target_parameters = one._named(one.target_vector)
            one._bind(one.target, one.target_parameters)

    def state_dict(self) -> dict[str, Any]:
        """Return network, target and optimiser."""
        optimizer = {"mean": self._mean, "square": self._square, "steps": self._steps}
        state = {"network": self.parameters, "optimizer": optimizer}
        return (
            state if self.target_parameters is None else state | {"target": self.target_parameters}
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        own = self.state_dict()
        for part, tensors in own.items():
            for name, tensor in tensors.items():
                saved = state[part][name]
                if saved.shape != tensor.shape:
                    raise ValueError(
                        f"{name}: saved with shape {tuple(saved.shape)}, is {tuple(tensor.shape)}"
                    )
                tensor.copy_(saved)


def _move(held: Sequence[Tensor], new: Sequence[Tensor], live: Tensor | None) -> None:
    for old, now in zip(held, new, strict=True):
        old.copy_(now if live is None else torch.where(live, now, old))


def _column(x: Any) -> Any:
    return x.unsqueeze(-1) if isinstance(x, Tensor) and x.dim() else x
