"""The randomness of updates: numbers drawn on the device, choices made on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


class UpdateNoise:
    """The stream of an agent's updates.

    Args:
        seed: its own branch of the agent's.
        device: where the noise is wanted.
    """

    def __init__(self, seed: np.random.SeedSequence, device: torch.device):
        numbers, choices = seed.spawn(2)
        self._device = device
        self._numbers = torch.Generator(device)
        self._numbers.manual_seed(int(numbers.generate_state(1, np.uint64)[0]))
        self._choices = np.random.default_rng(choices)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers."""
        return torch.randn(shape, generator=self._numbers, device=self._device)

    def choose(self, n: int, size: int | None) -> dict[str, Tensor]:
        """Return `size` different numbers below `n` as `which`, in order; {} for all, without a draw."""
        if size is None or size == n:
            return {}
        which = np.sort(self._choices.choice(n, size, replace=False))
        return {"which": torch.from_numpy(which).to(self._device)}

    def state_dict(self) -> dict[str, Any]:
        """Return where both streams stand."""
        return {
            "device": self._numbers.device.type,
            "numbers": self._numbers.get_state(),
            "choices": self._choices.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; of another kind of device only the choices: those streams differ."""
        if state["device"] == self._numbers.device.type:
            self._numbers.set_state(state["numbers"])
        self._choices.bit_generator.state = state["choices"]
