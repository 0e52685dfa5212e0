"""Our networks against torch's own parts, forth and back, in float32 and in bfloat16."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import zip_longest
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her_exp.agents.networks import MLP, check_network, squash
from her_exp.agents.products import lifted
from her_exp.agents.residual import Residual
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.system.machine import Library, choose_library
from her_exp.types import UserError
from tests.agents.reference import plain_copy

SIZES = pytest.mark.parametrize("sizes", [(7, 5), (7, 16, 3), (30, 256, 256, 4)])
NORMS = pytest.mark.parametrize("layer_norm", [False, True])


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max() / b.detach().abs().max())


def mlp(sizes: tuple[int, ...], **settings: Any) -> MLP:
    return MLP(sizes[0], sizes[-1], sizes[1:-1], **settings)


def passes(network: nn.Module, x: Tensor, slope: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output, and the gradients by the input and by the parameters, each layer's norm after it."""
    own = list(network.parameters())
    if isinstance(network, MLP):
        parts = [part for pair in zip_longest(network.layers, network.norms) for part in pair]
        own = [p for part in parts if part is not None for p in part.parameters()]
    y = network(x)
    return y, list(torch.autograd.grad((y * slope).sum(), [x, *own]))


@pytest.mark.parametrize("library", ["onednn", "torch"])
@NORMS
@SIZES
def test_outputs_and_gradients_are_torchs_own(
    sizes: tuple[int, ...], layer_norm: bool, library: Library
) -> None:
    choose_library(library)
    torch.manual_seed(1)
    network = mlp(sizes, layer_norm=layer_norm)
    x, slope = torch.randn(256, sizes[0], requires_grad=True), torch.randn(256, sizes[-1])
    (y, got), (wanted, expected) = (passes(n, x, slope) for n in (network, plain_copy(network)))
    assert relative(y, wanted) < 1e-5
    assert library == "onednn" or torch.equal(y, wanted)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        assert relative(mine, theirs) < 1e-4


def test_a_second_gradient_is_right_or_refused() -> None:
    """A penalty on gradients: oneDNN's products have no second one."""
    network, x = mlp((30, 256, 256, 4)), torch.randn(256, 30, requires_grad=True)
    expected = torch.autograd.grad(plain_copy(network)(x).sum(), x, create_graph=True)[0]
    choose_library("torch")
    (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    (weight,) = torch.autograd.grad(slope.square().sum(), network.layers[0].weight)
    assert relative(slope, expected) < 1e-5
    assert weight.abs().max() > 0
    choose_library("onednn")
    with pytest.raises(UserError, match=r"take products=torch agent\.precision=float32"):
        torch.autograd.grad(network(x).sum(), x, create_graph=True)


@pytest.mark.parametrize("products", [nullcontext, lifted], ids=["fast", "torch's own"])
@NORMS
@SIZES
def test_bfloat16_is_near_float32(sizes: tuple[int, ...], layer_norm: bool, products: Any) -> None:
    """As near as torch's own autocast comes: some ReLUs go the other way."""
    torch.manual_seed(1)
    network = mlp(sizes, layer_norm=layer_norm, precision="bfloat16")
    exact = mlp(sizes, layer_norm=layer_norm)
    exact.load_state_dict(network.state_dict())
    x, slope = torch.randn(256, sizes[0], requires_grad=True), torch.randn(256, sizes[-1])
    with products():
        (y, got), (wanted, expected) = (passes(n, x, slope) for n in (network, exact))
        assert torch.equal(network.exact(x), wanted)
    assert y.dtype == got[0].dtype == torch.float32
    assert relative(y, wanted) < 0.02
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        assert (mine - theirs).norm() < 0.1 * theirs.norm()
    assert torch.equal(y, wanted) == (len(sizes) == 2)  # the last layer is not rounded, others are


def test_a_residual_network_is_its_formula() -> None:
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


def test_the_squashed_gaussian_is_finite_far_out() -> None:
    far = torch.tensor([[30.0, 2.0], [-30.0, 2.0]])  # tanh is 1.0 to the last bit there
    assert torch.isfinite(squash(far, torch.full((2, 1), 3.0))[1]).all()


# --- networks of one's own ---------------------------------------------------------------------


class Idle(nn.Linear):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.spare = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (nn.Dropout(0.1), "draws random numbers"),
        (nn.BatchNorm1d(4), "a pass changes it"),
        (Idle(4, 4), r"1\.spare\.weight, 1\.spare\.bias have no part"),
        (nn.Linear(4, 3), r"gives \(8, 3\) for 8 inputs; it must give \(8, 4\)"),
    ],
)
def test_a_network_that_is_no_function_of_its_inputs_is_refused(
    part: nn.Module, words: str
) -> None:
    with pytest.raises(UserError, match=rf"^agent\.network: {words}"):
        check_network(nn.Sequential(nn.Linear(4, 4), part), 4, 4, "agent.network")


@pytest.mark.parametrize(
    ("node", "more", "words"),
    [
        ("torch.nn.Dropout", [], "^agent: cannot be made: ValueError: dropout"),
        ("torch.nn.Linear, in_features: 3", [], "the run sets it; leave it out"),
        # That the CPU does not multiply it is said first, where it is so.
        ("torch.nn.Linear", ["agent.precision=bfloat16"],
         r"precision=bfloat16.*; take (agent\.)?precision=auto$"),
    ],
)  # fmt: skip
def test_a_wrong_network_is_one_line_before_anything_runs(
    node: str, more: list[str], words: str
) -> None:
    validate(compose(["agent.network={_target_: torch.nn.Linear}"]))  # called in order
    with pytest.raises(UserError, match=words) as refused:
        validate(compose([f"agent.network={{_target_: {node}}}", *more]))
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match="must be null or a node with a _target_"):
        validate(compose(["agent.network=torch.nn.Linear"]))
