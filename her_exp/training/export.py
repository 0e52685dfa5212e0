"""A policy as one ONNX file, written only where it acts as the policy itself does."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
    names = ("observation", "desired_goal", "action")
    try:
        with warnings.catch_warnings(), torch.no_grad(), lifted(), _quiet():
            warnings.simplefilter("ignore")
            policy(*given)  # what is set up at a first call is none of the trace's
            torch.onnx.export(
                policy, given, out, input_names=names[:2], output_names=names[2:], opset_version=17,
                dynamic_axes={name: {0: "n"} for name in names}, dynamo=False,
            )  # fmt: skip
    except Exception as error:  # whatever an exporter says of a stranger's network
        raise UserError(f"onnx={path}: cannot be exported: {reason_of(error)}") from error
    return out.getvalue()


def _unlike(agent: Agent, spaces: GoalSpaces, content: bytes) -> str | None:
    """Say where the file acts in another way than the policy, or None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    inputs = _inputs(agent, spaces)

    def run(rows: int) -> Array:
        given = {name: part[:rows] for name, part in inputs.items()}
        (action,) = session.run(["action"], given)
        return np.asarray(action)

    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        one, many = run(1), run(_COMPARED)
    except Exception as error:  # of a runtime in C++
        return reason_of(error)
    own = agent.act(*inputs.values(), explore=False).reshape(many.shape[0], -1)
    apart = _apart(agent, spaces, inputs, own, many.reshape(len(many), -1))
    apart += _apart(agent, spaces, inputs, own[:1], one.reshape(1, -1))
    return "; ".join(apart[:1]) or None


def _inputs(agent: Agent, spaces: GoalSpaces) -> dict[str, Array]:
    """Return inputs about those that the agent's normaliser saw, where it has one, some far from them."""
    rng, seen = np.random.default_rng(0), getattr(agent, "inputs", None)
    made: dict[str, Any] = {}
    for name, dim in (("observation", spaces.observation_dim), ("goal", spaces.goal_dim)):
        drawn = rng.standard_normal((_COMPARED, dim)) * 10 ** rng.uniform(-1, 1, (_COMPARED, 1))
        if isinstance(seen, InputNormalizer):
            moments = getattr(seen, name)
            drawn = moments.mean + moments.std * drawn
        made["desired_goal" if name == "goal" else name] = drawn.astype(np.float32)
    return made


def _apart(
    agent: Any, spaces: GoalSpaces, inputs: dict[str, Array], own: Array, told: Array
) -> list[str]:
    """Say of actions (n, a) of the policy and of the file where they differ: nothing, or one line."""
    if own.shape != told.shape:
        return [f"it gives {told.shape[1]} numbers, the policy {own.shape[1]}"]
    space = spaces.action
    if isinstance(space, gym_spaces.Box):
        low, high = (np.float64(end).reshape(-1) for end in (space.low, space.high))
        half = np.where(high > low, (high - low) / 2, 1.0)
        # Far from 0 the numbers of float32 lie wider apart.
        steps = 2 * np.spacing(np.maximum(abs(low), abs(high)).astype(np.float32))
        gap = (abs(own.astype(np.float64) - told) - steps) / half
        worst = float(gap.max())
        return [] if worst <= _ATOL else [f"by {worst:.2g} of half the Box"]
    rows = np.flatnonzero(own[:, 0] != told[:, 0])
    if not len(rows):
        return []
    with torch.no_grad():
        worth = agent.greedy(*(torch.from_numpy(part[rows]) for part in inputs.values())).numpy()
    each = [worth[range(len(rows)), chosen[rows, 0] - space.start] for chosen in (own, told)]
    clear = abs(each[0] - each[1]) > _ATOL * np.maximum(1.0, abs(each[0]))
    return [f"{clear.sum()} of {len(own)} choices are others"] if clear.any() else []
