"""Policies on disk: tensors and plain values only, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from her_exp.types import Agent, UserError


def save(state: Any, path: Path) -> None:
    """Write `state` so that the file at `path` is always whole: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> Any:
    """Read what `save` wrote; nothing in the file is executed.

    Raises:
        UserError: there is no such file, or it is no checkpoint of ours.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be read as a checkpoint: {reason}") from error


def save_policy(agent: Agent, path: Path, **about: Any) -> None:
    """Save the agent's state with what is worth knowing about it (env_steps, success, ...)."""
    save({"agent": agent.state_dict(), "about": about}, path)


def load_policy(agent: Agent, path: Path) -> dict[str, Any]:
    """Restore the agent; returns what was saved about it."""
    state = load(path)
    agent.load_state_dict(state["agent"])
    return dict(state["about"])
