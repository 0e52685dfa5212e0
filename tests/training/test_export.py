"""A policy as an ONNX file: it acts as the agent does; what cannot be one is refused and leaves nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from her_exp.agents.residual import Residual
from her_exp.training.export import check_onnx, write_onnx
from her_exp.types import Agent, UserError
from tests.agents.kit import ALL, BOTH, BOX, DISCRETE, ddpg, dqn, inputs, see

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run(path: Path, observation: Any, goal: Any) -> Any:
    session = onnxruntime.InferenceSession(path)
    given = {"observation": observation.astype("f"), "desired_goal": goal.astype("f")}
    (action,) = session.run(["action"], given)
    return action


@ALL
def test_the_file_acts_as_the_agent(make: Any, tmp_path: Path) -> None:
    acts_alike(make(), tmp_path)


@BOTH
def test_with_a_network_of_ones_own(make: Any, tmp_path: Path) -> None:
    acts_alike(make(network=partial(Residual, width=8)), tmp_path)


def acts_alike(agent: Any, tmp_path: Path) -> None:
    """The normaliser is inside, actions are the env's, for any n."""
    path = tmp_path / "policy.onnx"
    see(agent, 50)
    write_onnx(agent, agent.spaces, path)
    assert [file.name for file in tmp_path.iterdir()] == ["policy.onnx"]
    for n in (1, 200):
        observation, goal = (20 * part for part in inputs(n))
        action = run(path, observation, goal)
        own = agent.act(observation, goal, explore=False)
        assert action.shape == own.shape
        assert action.dtype == (np.int64 if agent.spaces == DISCRETE else np.float32)
        np.testing.assert_allclose(action, own, rtol=0, atol=1e-5)
    assert len(np.unique(action, axis=0)) > 1


def test_of_two_choices_that_tie_either_will_do(tmp_path: Path) -> None:
    agent = dqn()
    last = agent.nets.q.layers[-1]
    for rows in (last.weight, last.bias):
        rows[1] = rows[0]
        rows[2] = rows[0] - 1e-3 * (rows is last.bias)
    agent.best = lambda values: values.mean(-1).argmax(-1) ^ 1  # the other of the two
    write_onnx(agent, DISCRETE, tmp_path / "tie.onnx")
    agent.best = lambda values: torch.full((len(values),), 2)
    with pytest.raises(UserError, match=r"not act as the policy: of 1 inputs one is 0\.001 "):
        write_onnx(agent, DISCRETE, tmp_path / "no.onnx")


class Depends(nn.Module):
    """Goes another way for large inputs: a trace keeps one of them."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y if x.abs().max() < 1 else -y


class NoOperator(Depends):
    """Takes a function that ONNX does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.erfcx(self.layer(x))


class Own(Agent):
    """Acts, and says no more."""


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: ddpg(network=Depends), "not written, the file would not act as the policy: of "),
        (lambda: ddpg(network=NoOperator), "cannot be exported: .*special_erfcx"),
        (Own, "Own does not say how it acts without exploration; give it a method greedy"),
    ],
)
def test_refused_in_one_line_and_nothing_is_left(
    make: Callable[[], Any], line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=f"^onnx=.*policy.onnx: {line}") as refused:
        write_onnx(make(), BOX, tmp_path / "policy.onnx")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_where_no_file_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "link.onnx").symlink_to(tmp_path / "x.onnx")
    for name, line in {
        "last.pt": "end it in .onnx", "no/p.onnx": "there is no folder", "folder.onnx": "no plain file",
        "link.onnx": "no plain file",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=line):
            check_onnx(tmp_path / name)
    (tmp_path / "old.onnx").touch()
    check_onnx(tmp_path / "old.onnx")  # is replaced
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime; pip install 'her_exp\[onnx\]'"):
        check_onnx(tmp_path / "p.onnx")
