"""The squashed Gaussian against torch's own."""

from __future__ import annotations

import pytest
import torch

from her_exp.agents.networks import squash
from tests.agents.actor_critics_kit import drawn

pytestmark = pytest.mark.usefixtures("one_thread")


def some_policy(rows: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(rows, 6, generator=generator, dtype=torch.float64) * 2.0
    raw[:20, 3:] = torch.linspace(-25.0, 4.0, 20, dtype=torch.float64)[:, None]  # past both bounds
    return raw, torch.randn(rows, 3, generator=generator, dtype=torch.float64)


def test_log_density_is_torchs() -> None:
    raw, noise = some_policy()
    raw[:20, 3:] = 0.0
    raw[:, :3] = raw[:, :3].clamp(-3.0, 3.0)
    mine, theirs = squash(raw, noise), drawn(raw, noise)
    torch.testing.assert_close(mine, theirs)


def test_the_density_sums_to_one() -> None:
    raw, grid = torch.tensor([[0.4, -0.5]], dtype=torch.float64), torch.linspace(-1, 1, 200_001)
    action = grid[1:-1].double()[:, None]
    noise = (torch.atanh(action) - raw[0, 0]) / raw[0, 1].exp()
    density = squash(raw.expand(len(noise), 2), noise)[1].exp()
    assert float(density.sum() * 1e-5) == pytest.approx(1.0, abs=1e-4)


def test_log_density_far_out_is_finite() -> None:
    raw = torch.tensor([[30.0, 2.0], [-30.0, 2.0]])  # tanh is 1.0 to the last bit there
    assert torch.isfinite(squash(raw, torch.full((2, 1), 3.0))[1]).all()
