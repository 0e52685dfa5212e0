"""Several critics as one network, and the randomness of updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from her_exp.agents.networks import MLP, Tape
from her_exp.limits import check_ranges


def check_critics(owner: str, n_critics: int, target_critics: int | None) -> None:
    """Raise ValueError, naming `owner`, unless `target_critics` of `n_critics` can be drawn."""
    check_ranges(owner, n_critics=n_critics, target_critics=target_critics)
    if target_critics is not None and target_critics > n_critics:
        raise ValueError(
            f"{owner}: target_critics={target_critics} must be at most n_critics={n_critics}"
        )


class Ensemble(nn.Module):
    """Networks of the same shape side by side: (b, i) to (n, b, o).

    A list and no batched product: `torch.bmm` takes 1.6 to 2.2 times as long as the products of
    each network by oneDNN (2 and 5 networks of 256 units, batch 256 and 1024, one thread).
    """

    def __init__(self, networks: Sequence[MLP]):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._networks = list(networks)

    def forward(self, x: Tensor, which: Sequence[int] | None = None) -> Tensor:
        """Return the outputs of all networks, or of those numbered in `which`."""
        chosen = self._networks if which is None else [self._networks[i] for i in which]
        return torch.stack([network(x) for network in chosen])

    def record(self, x: Tensor) -> tuple[Tensor, list[Tape]]:
        """Return what `forward` does, and what `gradients` and `slope` go back along."""
        outputs, tapes = zip(*(network.record(x) for network in self._networks), strict=True)
        return torch.stack(outputs), list(tapes)

    def gradients(self, tapes: list[Tape], slope: Tensor) -> list[Tensor]:
        """Return a loss's gradients by the parameters, given that by the outputs (n, b, o)."""
        parts = zip(self._networks, tapes, slope, strict=True)
        return [g for network, tape, part in parts for g in network.gradients(tape, part)]

    def slope(self, tapes: list[Tape], slope: Tensor) -> Tensor:
        """Return a loss's gradient by the input (b, i), given that by the outputs (n, b, o)."""
        parts = zip(self._networks, tapes, slope, strict=True)
        return torch.stack([network.slope(tape, part) for network, tape, part in parts]).sum(0)


class UpdateNoise:
    """The randomness of updates: numbers drawn on the device, choices made on the host.

    Args:
        seed: its own branch of the agent's.
        device: where the noise is wanted.
    """

    def __init__(self, seed: np.random.SeedSequence, device: torch.device):
        numbers, choices = seed.spawn(2)
        self._numbers = torch.Generator(device)
        self._numbers.manual_seed(int(numbers.generate_state(1, np.uint64)[0]))
        self._choices = np.random.default_rng(choices)

    def normal_like(self, x: Tensor) -> Tensor:
        """Return standard normal numbers in the shape of `x`."""
        return torch.empty_like(x).normal_(generator=self._numbers)

    def choose(self, n: int, size: int | None) -> list[int] | None:
        """Return `size` different numbers below `n`, in order; None, without a draw, where that is all."""
        if size is None or size == n:
            return None
        return sorted(self._choices.choice(n, size, replace=False).tolist())

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
