"""The buffer and the oracle side by side, fed by one world."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from her_exp.buffers.weighted import WeightedHindsightBuffer
from her_exp.types import Step
from tests.buffers.audit import audit, compare
from tests.buffers.oracle import Oracle, State
from tests.buffers.world import World


class Both:
    """A buffer and the oracle, fed by one world."""

    def __init__(
        self, capacity: int = 24, *, lanes: int = 1, k: float = 4, strategy: str = "future",
        kind: str = "float", n_step: int = 1, seed: int = 0, buffer_changes: Any = None, **world: Any,
    ) -> None:  # fmt: skip
        self.world = World(kind, lanes, seed, **world)
        functions = self.world.functions
        self.oracle = Oracle(capacity, k, strategy, functions, lanes, functions.info_keys, n_step)
        self.arguments = {
            "capacity": capacity, "k": k, "strategy": strategy, "num_envs": lanes, "n_step": n_step,
            "info_keys": functions.info_keys, "spaces": self.world.spaces, "goal_functions": functions,
        } | (buffer_changes or {})  # fmt: skip
        self.buffer = self.new_buffer(seed + 1)
        self.change_step: Callable[[Step], Step] = lambda step: step

    def new_buffer(self, seed: int) -> Any:
        return WeightedHindsightBuffer(**self.arguments, generator=np.random.default_rng(seed))

    def begin(self) -> Both:
        observation = self.world.reset()
        self.oracle.begin(observation)
        lent = copy.deepcopy(observation)
        self.buffer.begin(lent)
        _spoil(lent)
        return self

    def add(self, steps: int = 1) -> Both:
        for _ in range(steps):
            step = self.world.step()
            self.oracle.add(step)
            self.give(self.buffer, self.change_step(step))
        return self

    @staticmethod
    def give(buffer: Any, step: Step) -> None:
        """Add a copy of `step`, then overwrite its arrays, as an env that reuses them would."""
        lent = copy.deepcopy(step)
        buffer.add(lent)
        _spoil(lent._asdict())

    def check(self, batch_size: int = 16, n_batches: int = 1) -> list[tuple[State, Any]]:
        assert self.buffer.size == self.oracle.size
        draws = compare(self.buffer, self.oracle, self.buffer.sample(batch_size, n_batches))
        assert len(draws) == batch_size * n_batches
        return draws

    def audit(self, **settings: Any) -> None:
        assert self.buffer.size == self.oracle.size
        audit(self.buffer, self.oracle, **settings)


def _spoil(arrays: Mapping[str, Any]) -> None:
    for array in arrays.values():
        if isinstance(array, Mapping):
            _spoil(array)
        else:
            array[...] = 113
