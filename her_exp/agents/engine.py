"""From losses to updates: gradients by autograd, steps of Adam, targets that follow.

One run takes the modules themselves and `torch.autograd.grad`. Many runs of one agent, with settings and
batches of their own, are lifted by `torch.func.vmap` over stacked parameters: no line of an agent changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from her_exp.agents.products import lifted
from her_exp.learning.learner import Learner
from her_exp.types import Batch, Metrics, UserError

#: loss(nets, batch, noise, s) -> (0-d, metrics): see `GoalAgent`.
Loss = Callable[[Any, Any, Mapping[str, Any], Any], tuple[Tensor, Metrics]]


#: What `torch.autograd.grad` calls, behind checks that cost a tenth of an update of small networks.
_backward: Any = torch.autograd.Variable._execution_engine.run_backward


class Move(NamedTuple):
    """A loss and the networks that it moves, each by Adam at a rate of its own."""

    loss: str  #: a method of the agent; also the loss's name among the metrics
    rates: Mapping[str, str]  #: network -> the setting that is its learning rate


class Settings(SimpleNamespace):
    """What losses read as `s`: what an agent lists as `tunable`, its learning rates, lowest and highest."""

    def __getattr__(self, name: str) -> Any:
        """Say where a setting that is missing is to be listed."""
        raise AttributeError(f"s.{name}: list it in the agent's class: tunable = (..., {name!r})")


def as_one_step(batch: Batch, s: Any) -> Batch:
    """Return a batch as losses of one step take it, each run's discounted by its own gamma."""
    if batch.reward.dim() < batch.observation.dim():  # it is one; `s` may have no gamma
        return batch
    gamma = s.gamma
    return batch.discounted(gamma.unsqueeze(-1) if isinstance(gamma, Tensor) else gamma)


def _checked(name: str, told: Any) -> tuple[Tensor, Metrics]:
    """Return what a loss gave, or raise UserError."""
    pair = isinstance(told, tuple) and len(told) == 2 and isinstance(told[1], Mapping)
    if not pair or not isinstance(told[0], Tensor) or told[0].dim():
        raise UserError(
            f"agent: {name} must return a 0-d tensor and a dict of numbers to log, (loss, {{}})"
        )
    return told[0], told[1]


def _gradients(
    name: str, value: Tensor, one: Tensor, own: tuple[Tensor, ...], moved: Sequence[str]
) -> tuple[Tensor, ...]:
    """Return the gradients of a loss by the parameters of what it moves, or raise UserError."""
    try:
        found: tuple[Tensor, ...] = _backward(
            (value,), (one,), False, False, own, False, accumulate_grad=False
        )
    except RuntimeError as error:
        if "require grad" not in str(error) and "not have been used" not in str(error):
            raise
        raise UserError(
            f"agent: {name} must depend on each parameter of {' and '.join(moved)}, which it moves, "
            "without .item() or detach() on the way"
        ) from error
    return found


class Engine:
    """Runs an agent's losses.

    Args:
        owner: what has the losses, as methods.
        moves: in their order.
        learners: by network.
        clip: largest norm of a network's gradient, or None.
        runs: None: one run; else as many at once, with a leading axis on batch, noise and settings.
    """

    def __init__(
        self,
        owner: Any,
        moves: Sequence[Move],
        learners: Mapping[str, Learner],
        clip: float | None = None,
        runs: int | None = None,
    ):
        self.learners, self._clip, self._runs = learners, clip, runs
        self.nets = SimpleNamespace()
        for name, learner in learners.items():
            setattr(self.nets, name, learner.network)
            if learner.target is not None:
                setattr(self.nets, f"target_{name}", learner.target)
        take = self._one if runs is None else self._many
        self._moves = [
            (move, take(move.loss, getattr(owner, move.loss), list(move.rates))) for move in moves
        ]

    def update(
        self,
        batch: Any,
        noise: Mapping[str, Any],
        s: SimpleNamespace,
        skip: Sequence[str] = (),
        targets: bool = True,
        live: Tensor | None = None,
    ) -> Metrics:
        """Take a step by each loss, in order, but those to `skip`; then move the `targets`.

        Of several runs only those move that are `live` (n, 1), by default all.
        """
        metrics: Metrics = {}
        for move, gradients in self._moves:
            if move.loss in skip:
                continue
            found, loss, told = gradients(batch, noise, s)
            for (name, rate), each in zip(move.rates.items(), found, strict=True):
                self.learners[name].step(each, getattr(s, rate), self._clip, live)
            metrics |= {move.loss: loss, **told}
        if targets:
            for learner in self.learners.values():
                learner.move_target(s.tau, live)
        return metrics

    def _one(self, name: str, loss: Loss, moved: Sequence[str]) -> Callable[..., Any]:
        """Gradients of one run: the modules and autograd. (`torch.func` costs 2.4 times a small update.)"""
        learners = [self.learners[name] for name in moved]
        own = tuple(p for learner in learners for p in learner.own)
        one = torch.ones((), device=own[0].device)
        counts = [len(learner.own) for learner in learners]

        def gradients(batch: Any, noise: Mapping[str, Any], s: Any) -> Any:
            for parameter in own:  # what this loss does not move has no gradient
                parameter.requires_grad_(True)
            try:
                with torch.enable_grad():
                    value, metrics = _checked(name, loss(self.nets, batch, noise, s))
                    flat = _gradients(name, value, one, own, moved)
            finally:
                for parameter in own:
                    parameter.requires_grad_(False)
            at, found = 0, []
            for count in counts:
                found.append(flat[at : at + count])
                at += count
            return (
                found,
                value.detach(),
                {k: torch.as_tensor(v).detach() for k, v in metrics.items()},
            )

        return gradients

    def _many(self, name: str, loss: Loss, moved: Sequence[str]) -> Callable[..., Any]:
        """Gradients of many runs at once."""
        modules = {
            **{name: learner.network for name, learner in self.learners.items()},
            **{
                f"target_{n}": one.target
                for n, one in self.learners.items()
                if one.target is not None
            },
        }

        def call(own: Any, held: Any, batch: Any, noise: Any, s: Any) -> Any:
            nets = {
                key: lambda *x, module=modules[key], p=parameters: functional_call(module, p, x)
                for key, parameters in (held | own).items()
            }
            value, told = _checked(name, loss(SimpleNamespace(**nets), batch, noise, Settings(**s)))
            return value, {k: torch.as_tensor(v, device=value.device) for k, v in told.items()}

        lift = grad_and_value(call, has_aux=True)

        def gradients(batch: Any, noise: Mapping[str, Any], s: Any) -> Any:
            parameters: dict[str, Any] = {}
            for name, learner in self.learners.items():
                parameters[name] = learner.parameters
                if learner.target_parameters is not None:
                    parameters[f"target_{name}"] = learner.target_parameters
            own = {name: parameters.pop(name) for name in moved}
            # What a batch leaves out has no runs to map over.
            rows = type(batch)(*(None if part is None else 0 for part in batch))
            with lifted():
                found, (value, metrics) = vmap(lift, in_dims=(0, 0, rows, 0, 0))(
                    own, parameters, batch, noise, vars(s)
                )
            return [list(found[name].values()) for name in moved], value, metrics

        return gradients
