"""Quantile regression: its loss and slope against autograd, and what it is fitted to."""

from __future__ import annotations

import pytest
import torch

from her_exp.agents.quantiles import quantile_huber
from tests.agents.reference import pinball


@pytest.mark.parametrize(
    ("b", "m", "k"),
    [(1, 1, 1), (37, 5, 8), (64, 25, 46), (3, 150, 150)],  # in one go, in parts, row by row
)
def test_loss_and_slope_equal_autograds(b: int, m: int, k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    critics = torch.randn(3, b, m, generator=generator, dtype=torch.float64) * 2
    target = torch.randn(b, k, generator=generator, dtype=torch.float64) * 2
    leaf, ours = critics.clone().requires_grad_(), critics.clone().requires_grad_()
    losses = torch.stack([pinball(critic, target) for critic in leaf])
    losses.sum().backward()
    each = quantile_huber(ours, target)
    each.sum().backward()
    torch.testing.assert_close(each, losses)
    torch.testing.assert_close(ours.grad, leaf.grad)
    torch.testing.assert_close(quantile_huber(critics[1], target), losses[1])


def test_the_fit_is_at_the_quantiles() -> None:
    samples = torch.linspace(0, 1000, 1001)[None]  # wide beside the Huber loss's bound
    fitted = torch.full((1, 4), 500.0)
    for _ in range(4000):
        fitted.requires_grad_()
        (slope,) = torch.autograd.grad(quantile_huber(fitted, samples), fitted)
        fitted = fitted.detach() - 800.0 * slope
    assert fitted[0].tolist() == pytest.approx([125.0, 375.0, 625.0, 875.0], abs=3.0)
