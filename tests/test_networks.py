"""The hand-written backward pass against autograd, and the fast product against the plain one."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from her_exp.agents import networks
from her_exp.agents.networks import MLP, Learner, product
from her_exp.system.machine import Library, choose_library


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("library", ["onednn", "torch"])
@pytest.mark.parametrize("shape", [(256, 256, 256), (512, 300, 129), (1024, 64, 64), (8, 4, 3)])
def test_product_is_the_linear_layer(shape: tuple[int, int, int], library: Library) -> None:
    choose_library(library)
    batch, inputs, outputs = shape
    torch.manual_seed(0)
    x, weight, bias = torch.randn(batch, inputs), torch.randn(outputs, inputs), torch.randn(outputs)
    slope = torch.randn(batch, outputs)
    with torch.no_grad():
        assert relative(product(x, weight, bias), F.linear(x, weight, bias)) < 1e-5
        # The two products of the backward pass hand in transposed views.
        assert relative(product(slope, weight.t()), slope @ weight) < 1e-5
        assert relative(product(slope.t(), x.t()), slope.t() @ x) < 1e-5


def test_torchs_own_product_is_taken_where_it_is_chosen() -> None:
    choose_library("torch")
    x, weight = torch.randn(256, 256), torch.randn(256, 256)
    with torch.no_grad():
        assert torch.equal(product(x, weight), F.linear(x, weight))


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("sizes", [(7, 5), (7, 16, 3), (30, 256, 256, 4)])
def test_gradients_equal_autograds(sizes: tuple[int, ...], layer_norm: bool) -> None:
    torch.manual_seed(1)
    network = MLP(sizes, layer_norm=layer_norm)
    x = torch.randn(256, sizes[0], requires_grad=True)
    slope = torch.randn(256, sizes[-1])
    expected = torch.autograd.grad((network(x) * slope).sum(), [x, *network.parameters()])
    with torch.no_grad():
        y, tape = network.record(x.detach())
        gradients = network.gradients(tape, slope)
        into_x = network.slope(tape, slope)
    assert relative(y, network(x).detach()) < 1e-5
    assert relative(into_x, expected[0]) < 1e-4
    for (name, parameter), mine, theirs in zip(
        network.named_parameters(), gradients, expected[1:], strict=True
    ):
        assert mine.shape == parameter.shape, name
        assert relative(mine, theirs) < 1e-4, name


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("sizes", [(7, 5), (7, 16, 3), (30, 256, 256, 4)])
def test_bfloat16_is_near_float32(
    sizes: tuple[int, ...], layer_norm: bool, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As near as torch's own autocast comes: some ReLUs go the other way."""
    if not onednn:
        monkeypatch.setattr(networks, "_ONEDNN", None)
    torch.manual_seed(1)
    network = MLP(sizes, layer_norm=layer_norm, precision="bfloat16")
    plain = MLP(sizes, layer_norm=layer_norm)
    plain.load_state_dict(network.state_dict())
    x = torch.randn(256, sizes[0], requires_grad=True)
    slope = torch.randn(256, sizes[-1])
    expected_y = plain(x)
    expected = torch.autograd.grad((expected_y * slope).sum(), [x, *plain.parameters()])
    with torch.no_grad():
        y, tape = network.record(x.detach())
        got = [network.slope(tape, slope), *network.gradients(tape, slope)]
        assert torch.equal(network.exact(x.detach()), plain(x.detach()))
    assert y.dtype == got[0].dtype == torch.float32
    assert relative(y, expected_y.detach()) < 0.02
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        assert (mine - theirs).norm() < 0.1 * theirs.norm()
    if len(sizes) > 2:
        assert not torch.equal(y, plain(x).detach())  # or bfloat16 was not used at all


def test_bfloat16_rounds_no_output() -> None:
    """A value near -50 in bfloat16 itself would move in steps of 0.25."""
    network = MLP((2, 8, 1), precision="bfloat16")
    with torch.no_grad():
        network.layers[-1].bias.fill_(-50.0)
        y = network(torch.zeros(1, 2))
        network.layers[-1].bias.add_(0.01)
        assert float(network(torch.zeros(1, 2)) - y) == pytest.approx(0.01, abs=1e-4)


def test_a_learner_is_adam() -> None:
    torch.manual_seed(2)
    network, copy = MLP((4, 8, 2)), MLP((4, 8, 2))
    copy.load_state_dict(network.state_dict())
    learner, adam = Learner(network, 0.01), torch.optim.Adam(copy.parameters(), lr=0.01)
    for _ in range(20):
        gradients = [torch.randn_like(p) for p in copy.parameters()]
        for parameter, gradient in zip(copy.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        adam.step()
        with torch.no_grad():
            learner.step(gradients)
    for mine, theirs in zip(network.parameters(), copy.parameters(), strict=True):
        assert relative(mine.detach(), theirs.detach()) < 1e-5
