"""A policy as one ONNX file, written only where it acts as the policy itself does."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces as gym_spaces
from torch import Tensor, nn

from her_exp.agents.normalizer import InputNormalizer
from her_exp.agents.products import lifted
from her_exp.store.files import write_bytes
from her_exp.system.foreign import reason_of
from her_exp.types import Agent, Array, GoalSpaces, UserError

#: Inputs on which file and policy are compared, and how far they may be apart.
_COMPARED, _ATOL = 1000, 1e-5
_NAMES = ("observation", "desired_goal", "action")


def check_onnx(path: Path) -> None:
    """Raise UserError, before anything runs, where no ONNX file can be written as `path`.

    A file that is there already is replaced; by its ending no checkpoint is.
    """
    lacking = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if lacking:
        raise UserError(f"onnx={path}: needs {' and '.join(lacking)}; pip install 'her_exp[onnx]'")
    if path.suffix != ".onnx":
        raise UserError(f"onnx={path}: names the file to write; end it in .onnx")
    if not path.parent.is_dir():
        raise UserError(f"onnx={path}: there is no folder {path.parent}")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise UserError(f"onnx={path}: is there and no plain file; give another name")


def write_onnx(agent: Agent, spaces: GoalSpaces, path: Path) -> None:
    """Write the deterministic policy as one file, with normaliser and scaling of actions inside.

    Inputs `observation` (n, observation_dim) and `desired_goal` (n, goal_dim), float32, any n; output
    `action`, (n, action_dim) float32 in the env's units, or (n,) int64 the choice of a Discrete space.

    The agent has a method `greedy(observation, goal)`, tensors to tensors: the actions or, for Discrete, what
    each is worth (n, actions). What onnxruntime makes of the file is compared with `agent.act(...,
    explore=False)` on 1,000 inputs: within 1e-5 of half the Box, or the same choice where no two tie.

    Args:
        agent: on the CPU.
        spaces: of one lane.
        path: see `check_onnx`.

    Raises:
        UserError: it has no such method, cannot be exported, or the file acts in another way.
    """
    content = _exported(agent, spaces, path)
    if wrong := _unlike(agent, spaces, content):
        raise UserError(
            f"onnx={path}: not written, the file would not act as the policy: {wrong}; a network of your "
            "own must not ask what its input holds, nor take len(x) for x.shape[0]"
        )
    write_bytes(path.parent, path.name, content, suffix=f".{os.getpid()}.tmp")


class _Policy(nn.Module):
    """What the file computes."""

    def __init__(self, greedy: Callable[[Tensor, Tensor], Tensor], first: int | None):
        super().__init__()
        self._greedy, self._first = greedy, first

    def forward(self, observation: Tensor, desired_goal: Tensor) -> Tensor:
        told = self._greedy(observation, desired_goal)
        return told.float() if self._first is None else told.argmax(-1) + self._first


@contextmanager
def _quiet() -> Iterator[None]:
    """Let nothing out on stdout, C++ included: torch prints the whole graph of what it cannot export."""
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _exported(agent: Agent, spaces: GoalSpaces, path: Path) -> bytes:
    """Return the file's bytes.

    By tracing: torch's newer exporter takes twenty times as long, wants another package and talks. That a
    trace fixes what depends on the inputs is what the comparison is for.
    """
    space, out = spaces.action, io.BytesIO()
    greedy = getattr(agent, "greedy", None)
    if not callable(greedy):
        raise UserError(
            f"onnx={path}: {type(agent).__name__} does not say how it acts without exploration; give it "
            "a method greedy(observation, goal) of tensors (docs/deploy.md)"
        )
    first = int(space.start) if isinstance(space, gym_spaces.Discrete) else None
    policy = _Policy(greedy, first).eval()
    given = tuple(torch.zeros(2, dim) for dim in (spaces.observation_dim, spaces.goal_dim))
    try:
        with warnings.catch_warnings(), torch.no_grad(), lifted(), _quiet():
            warnings.simplefilter("ignore")
            policy(*given)  # what is set up at a first call is none of the trace's
            torch.onnx.export(
                policy, given, cast(Any, out), input_names=_NAMES[:2], output_names=_NAMES[2:],
                opset_version=17, dynamic_axes={name: {0: "n"} for name in _NAMES}, dynamo=False,
            )  # fmt: skip
    except Exception as error:  # whatever an exporter says of a stranger's network
        raise UserError(f"onnx={path}: cannot be exported: {reason_of(error)}") from error
    return out.getvalue()


def _unlike(agent: Any, spaces: GoalSpaces, content: bytes) -> str | None:
    """Say how the file acts in another way than the policy, or None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    inputs = _inputs(agent, spaces)
    own = agent.act(*inputs.values(), explore=False).reshape(_COMPARED, -1)
    with torch.no_grad():
        worth = agent.greedy(*map(torch.from_numpy, inputs.values())).numpy()
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        for n in (1, _COMPARED):
            (told,) = session.run(["action"], {name: part[:n] for name, part in inputs.items()})
            if told.reshape(n, -1).shape != own[:n].shape:
                return f"it gives {told.shape} for {n} inputs"
            gap = _gap(spaces.action, own[:n], told.reshape(n, -1), worth[:n])
            if not gap <= _ATOL:  # nor where it is NaN
                return f"of {n} inputs one is {gap:.2g} apart"
    except Exception as error:  # of a runtime in C++
        return reason_of(error)
    return None


def _gap(space: gym_spaces.Space[Any], own: Array, told: Array, worth: Array) -> float:
    """Return how far actions (n, a) are apart: in units of half the Box, or in what the choices are worth."""
    if isinstance(space, gym_spaces.Discrete):
        first, second = (np.take_along_axis(worth, a - space.start, 1) for a in (own, told))
        return float((abs(first - second) / np.maximum(1.0, abs(first))).max())
    assert isinstance(space, gym_spaces.Box)
    low, high = (np.float64(end).reshape(-1) for end in (space.low, space.high))
    # Far from 0 the numbers of float32 lie wider apart; a coordinate may be fixed.
    steps = 2 * np.spacing(np.maximum(abs(low), abs(high)).astype(np.float32))
    apart = abs(own.astype(np.float64) - told) - steps
    return float((apart / np.where(high > low, (high - low) / 2, 1.0)).max())


def _inputs(agent: Agent, spaces: GoalSpaces) -> dict[str, Array]:
    """Return inputs about those that the agent's normaliser saw, where it has one, some far from them."""
    rng, seen = np.random.default_rng(0), getattr(agent, "inputs", None)
    dims = {"observation": spaces.observation_dim, "goal": spaces.goal_dim}
    drawn = {}
    for name, dim in dims.items():
        part = rng.standard_normal((_COMPARED, dim)) * 10 ** rng.uniform(-1, 1, (_COMPARED, 1))
        moments = getattr(seen, name) if isinstance(seen, InputNormalizer) else None
        part = part if moments is None else moments.mean + moments.std * part
        drawn[name] = part.astype(np.float32)
    return dict(zip(_NAMES, drawn.values(), strict=False))
