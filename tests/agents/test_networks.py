"""Our networks against torch's own parts, forth and back, and the fast product against the plain one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her_exp.agents import products
from her_exp.agents.ddpg import DDPG
from her_exp.agents.networks import MLP, check_network
from her_exp.agents.products import product
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.system.machine import Library, choose_library
from her_exp.types import UserError
from tests.agents.kit import batches, ddpg, plain_copy


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


SIZES = pytest.mark.parametrize("sizes", [(7, 5), (7, 16, 3), (30, 256, 256, 4)])


def mlp(sizes: tuple[int, ...], **settings: Any) -> MLP:
    return MLP(sizes[0], sizes[-1], sizes[1:-1], **settings)


def plain(network: MLP) -> nn.Sequential:
    """The same network out of torch's own parts."""
    return plain_copy(network, bool(len(network.norms)))


@pytest.mark.parametrize("library", ["onednn", "torch"])
@pytest.mark.parametrize("layer_norm", [False, True])
@SIZES
def test_outputs_and_gradients_are_torchs_own(
    sizes: tuple[int, ...], layer_norm: bool, library: Library
) -> None:
    choose_library(library)
    torch.manual_seed(1)
    network = mlp(sizes, layer_norm=layer_norm)
    other = plain(network)
    x = torch.randn(256, sizes[0], requires_grad=True)
    slope = torch.randn(256, sizes[-1])
    y, expected_y = network(x), other(x)
    assert relative(y.detach(), expected_y.detach()) < 1e-5
    got = torch.autograd.grad((y * slope).sum(), [x, *plain_order(network)])
    expected = torch.autograd.grad((expected_y * slope).sum(), [x, *other.parameters()])
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        assert relative(mine, theirs) < 1e-4


def test_a_second_gradient_is_right_or_refused() -> None:
    """A penalty on gradients: oneDNN's products have no second one."""
    network, x = mlp((30, 256, 256, 4)), torch.randn(256, 30, requires_grad=True)
    expected = torch.autograd.grad(plain(network)(x).sum(), x, create_graph=True)[0]
    choose_library("torch")
    (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    (weight,) = torch.autograd.grad(slope.square().sum(), network.layers[0].weight)
    assert relative(slope.detach(), expected.detach()) < 1e-5
    assert weight.abs().max() > 0
    choose_library("onednn")
    with pytest.raises(UserError, match=r"take products=torch agent\.precision=float32"):
        torch.autograd.grad(network(x).sum(), x, create_graph=True)


def plain_order(network: MLP) -> list[Tensor]:
    """Its parameters in the order in which `plain` has them: each layer's, then its norm's."""
    found: list[Tensor] = []
    for i, layer in enumerate(network.layers):
        found += layer.parameters()
        found += network.norms[i].parameters() if i < len(network.norms) else ()
    return found


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("layer_norm", [False, True])
@SIZES
def test_bfloat16_is_near_float32(
    sizes: tuple[int, ...], layer_norm: bool, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As near as torch's own autocast comes: some ReLUs go the other way."""
    if not onednn:
        monkeypatch.setattr(products, "_ONEDNN", None)
    torch.manual_seed(1)
    network = mlp(sizes, layer_norm=layer_norm, precision="bfloat16")
    exact = mlp(sizes, layer_norm=layer_norm)
    exact.load_state_dict(network.state_dict())
    x = torch.randn(256, sizes[0], requires_grad=True)
    slope = torch.randn(256, sizes[-1])
    y, expected_y = network(x), exact(x)
    got = torch.autograd.grad((y * slope).sum(), [x, *network.parameters()])
    expected = torch.autograd.grad((expected_y * slope).sum(), [x, *exact.parameters()])
    assert torch.equal(network.exact(x), expected_y)
    assert y.dtype == got[0].dtype == torch.float32
    assert relative(y.detach(), expected_y.detach()) < 0.02
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        assert (mine - theirs).norm() < 0.1 * theirs.norm()
    if len(sizes) > 2:
        assert not torch.equal(y, expected_y)  # or bfloat16 was not used at all


def test_bfloat16_rounds_no_output() -> None:
    """A value near -50 in bfloat16 itself would move in steps of 0.25."""
    network = MLP(2, 1, (8,), precision="bfloat16")
    with torch.no_grad():
        network.layers[-1].bias.fill_(-50.0)
        y = network(torch.zeros(1, 2))
        network.layers[-1].bias.add_(0.01)
        assert float(network(torch.zeros(1, 2)) - y) == pytest.approx(0.01, abs=1e-4)


class Functional(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.1, training=True)


class Drawing(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(())


class Idle(nn.Linear):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.spare = nn.Linear(2, 2)


def settled() -> nn.Module:
    """Spectral norm that has come to rest: a pass writes what stands there; after an update it would not."""
    part = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))
    with torch.no_grad():
        part.parametrizations.weight.original.copy_(torch.diag(torch.arange(1.0, 5.0)))
        for _ in range(500):
            part(torch.zeros(1, 4))
    return part


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (nn.Dropout(0.1), "draws random numbers"),
        (Functional(4, 4), "draws random numbers"),
        (Drawing(4, 4), "draws random numbers"),
        (nn.BatchNorm1d(4), "a pass changes it"),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), "a pass changes it"),
        (settled(), "a pass changes it"),
        (Idle(4, 4), r"1\.spare\.weight, 1\.spare\.bias have no part"),
        (nn.Linear(4, 3), r"gives \(8, 3\) for 8 inputs; it must give \(8, 4\)"),
    ],
)
def test_a_network_that_is_no_function_of_its_inputs_is_refused(
    part: nn.Module, words: str
) -> None:
    with pytest.raises(UserError, match=rf"^agent\.network: {words}"):
        check_network(nn.Sequential(nn.Linear(4, 4), part), 4, 4, "agent.network")
    check_network(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), 4, 4, "agent.network")


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ("{_target_: torch.nn.Dropout}", "^agent: cannot be made: ValueError: dropout"),
        ("torch.nn.Linear", "must be null or a node with a _target_"),
        ("{_target_: torch.nn.Linear, in_features: 3}", "the run sets it; leave it out"),
        ("{_target_: torch.nn.Bilinear}", "in2_features... is not set|out_features is not set"),
    ],
)
def test_a_wrong_network_is_one_line_before_anything_runs(node: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        validate(compose([f"agent.network={node}"]))
    assert "\n" not in str(refused.value)


def test_a_network_is_called_in_order_whatever_its_arguments_are_called() -> None:
    validate(compose(["agent.network={_target_: torch.nn.Linear}"]))
    # That the CPU does not multiply it is said first, where it is so.
    with pytest.raises(UserError, match=r"precision=bfloat16.*; take (agent\.)?precision=auto$"):
        validate(compose(["agent.network={_target_: torch.nn.Linear}", "agent.precision=bfloat16"]))


@pytest.mark.parametrize(
    "told", [0.0, torch.zeros(3), (torch.zeros(3), {}), (torch.zeros(()), None)]
)
def test_a_loss_that_gives_something_else_is_named(told: Any) -> None:
    class Odd(DDPG):
        def actor_loss(self, *_: Any) -> Any:
            return told

    spaces = ddpg().spaces
    agent = Odd(spaces=spaces, hidden_sizes=(8,))
    with pytest.raises(UserError, match="agent: actor_loss must return a 0-d tensor and a dict"):
        agent.update(batches(ddpg)[0])


def test_numbers_to_log_may_be_plain() -> None:
    class Told(DDPG):
        def actor_loss(self, *given: Any) -> Any:
            loss, _ = super().actor_loss(*given)
            return loss, {"plain": 0.5}

    agent = Told(spaces=ddpg().spaces, hidden_sizes=(8,))
    assert float(agent.update(batches(ddpg)[0])["plain"]) == 0.5
