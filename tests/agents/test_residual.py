"""The residual network against its formula, written out."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from her_exp.agents.networks import check_network
from her_exp.agents.residual import Residual
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.types import UserError


def test_it_is_its_formula() -> None:
    torch.manual_seed(0)
    network, x = Residual(5, 3, width=8, blocks=3, expansion=2), torch.randn(7, 5)
    p = dict(network.named_parameters())
    h = x @ p["first.weight"].T + p["first.bias"]
    for i in range(3):
        block = f"blocks.{i}"
        inner = F.layer_norm(h, (8,), p[f"{block}.0.weight"], p[f"{block}.0.bias"])
        inner = (inner @ p[f"{block}.1.weight"].T + p[f"{block}.1.bias"]).clamp(min=0)
        assert inner.shape == (7, 16)
        h = h + inner @ p[f"{block}.3.weight"].T + p[f"{block}.3.bias"]
    h = F.layer_norm(h, (8,), p["last.0.weight"], p["last.0.bias"])
    torch.testing.assert_close(network(x), h @ p["last.1.weight"].T + p["last.1.bias"])
    check_network(network, 5, 3, "agent.network")


def test_its_gradients_are_taken_for_many_runs_at_once() -> None:
    networks = [Residual(5, 3, width=8) for _ in range(2)]
    x = torch.randn(2, 7, 5)
    stacked, _ = stack_module_state(networks)
    loss = lambda p, x: functional_call(networks[0], p, (x,)).square().mean()  # noqa: E731
    many = vmap(grad(loss))(stacked, x)
    for i, network in enumerate(networks):
        alone = torch.autograd.grad(network(x[i]).square().mean(), list(network.parameters()))
        for (name, _), expected in zip(network.named_parameters(), alone, strict=True):
            torch.testing.assert_close(many[name][i], expected, rtol=1e-4, atol=1e-6)


def test_it_is_chosen_by_its_target_and_its_settings_have_limits() -> None:
    node = "{_target_: her_exp.agents.residual.Residual, width: 16, blocks: %s}"
    validate(compose([f"agent.network={node % 1}"]))
    with pytest.raises(UserError, match=r"^agent\.network\.blocks=0: must be >= 1"):
        validate(compose([f"agent.network={node % 0}"]))
    with pytest.raises(ValueError, match="Residual: blocks=0 must be >= 1"):
        Residual(5, 3, blocks=0)
