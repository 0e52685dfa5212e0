"""Updates that a GPU records once and replays.

Launching the hundred kernels of a small update takes the host ten times as long as the GPU takes to run
them. A CUDA graph holds them all and is launched as one. It works on memory of its own: what an update is
given is copied there before each replay.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from her_exp.types import Batch, Metrics

log = logging.getLogger(__name__)

#: Updates of a kind that run as they are first: libraries set themselves up in them.
_AS_THEY_ARE = 2
#: Kinds that are recorded at most: one whose settings change in each update is no kind.
_KINDS = 32

#: update(batch, noise, settings, skip, targets) -> metrics
Update = Callable[[Batch, Mapping[str, Any], Any, tuple[str, ...], bool], Metrics]


class _Recorded:
    """One kind of update: its inputs, what replays it, and what it tells."""

    def __init__(
        self,
        inputs: list[Tensor],
        call: Callable[[list[Tensor]], Metrics],
        record: Callable[..., Any],
    ):
        self._inputs = [each.clone() for each in inputs]
        self._names: list[str] = []
        self._told: Tensor | None = None

        def run() -> None:
            metrics = call(self._inputs)
            self._names = list(metrics)
            for name, value in metrics.items():
                if not isinstance(value, Tensor) or value.device != inputs[0].device:
                    raise RuntimeError(f"its metric {name!r} is no tensor on {inputs[0].device}")
            told = [value.float() for value in metrics.values()]
            self._told = torch.stack(told) if told else None

        self._replay = record(run)

    def __call__(self, inputs: list[Tensor]) -> Metrics:
        torch._foreach_copy_(self._inputs, inputs)
        self._replay()
        if self._told is None:
            return {}
        return dict(zip(self._names, self._told.clone().unbind(), strict=True))


def record_on_gpu(run: Callable[[], None]) -> Callable[[], None]:
    """Return what replays the kernels that `run` launches."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


class Replays:
    """Runs updates, those of a kind seen before by a recording.

    A kind is the shapes of what an update is given, the settings, the losses left out, and whether targets
    move. What cannot be recorded runs as it is, and is said once.

    Args:
        record: returns what replays a function without arguments; a test's own needs no GPU.
    """

    def __init__(
        self, record: Callable[[Callable[[], None]], Callable[[], None]] = record_on_gpu
    ) -> None:
        self._record = record
        self._seen: Counter[Any] = Counter()
        self._recorded: dict[Any, _Recorded] = {}
        self._refused = False

    def __call__(
        self,
        update: Update,
        batch: Batch,
        noise: Mapping[str, Any],
        settings: Any,
        skip: tuple[str, ...],
        targets: bool,
    ) -> Metrics:
        """Do what `update` does, which works on tensors of one device and reads nothing else that changes."""
        if self._refused:
            return update(batch, noise, settings, skip, targets)
        parts = batch.parts
        inputs = [*parts.values(), *noise.values()]
        if not all(isinstance(each, Tensor) for each in inputs):
            self._refuse("what `draw` gives must be tensors")
            return update(batch, noise, settings, skip, targets)
        shapes = tuple((each.shape, each.dtype) for each in inputs)
        names = tuple(parts)
        kind = (shapes, names, tuple(noise), tuple(vars(settings).items()), skip, targets)
        recorded = self._recorded.get(kind)
        if recorded is None:
            self._seen[kind] += 1
            if len(self._seen) > _KINDS:
                self._refuse(f"settings or shapes changed {_KINDS} times")
            if self._seen[kind] <= _AS_THEY_ARE or self._refused:
                return update(batch, noise, settings, skip, targets)
            width = len(names)

            def call(held: list[Tensor]) -> Metrics:
                drawn = dict(zip(noise, held[width:], strict=True))
                same = Batch(**dict(zip(names, held[:width], strict=True)))
                return update(same, drawn, settings, skip, targets)

            try:
                recorded = self._recorded[kind] = _Recorded(inputs, call, self._record)
            except RuntimeError as error:
                self._refuse(str(error).splitlines()[0])
                return update(batch, noise, settings, skip, targets)
        return recorded(inputs)

    def _refuse(self, why: str) -> None:
        log.warning("agent: updates run as they are, unrecorded and slower: %s", why)
        self._refused = True
        self._recorded.clear()
