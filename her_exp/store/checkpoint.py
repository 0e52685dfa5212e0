"""Policies on disk: tensors and plain values only, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from her_exp.store.files import open_file, sync_folder
from her_exp.store.folder import check_ours
from her_exp.types import Agent, UserError


def save(state: Any, path: Path) -> None:
    """Write `state` so that the file at `path` is always whole: temporary name, fsync, rename.

    Raises:
        OSError: among others, the run folder that holds its folder is gone.
    """
    folder, above = path.parent, path.parent.parent
    folder.mkdir(exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with open_file(above, f"{folder.name}/{temporary.name}", "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def load(path: Path) -> Any:
    """Read what `save` wrote; nothing in the file is executed.

    Raises:
        UserError: there is no such file, or it is no checkpoint of ours.
    """
    try:
        open_file(path.parent.parent, f"{path.parent.name}/{path.name}", "rb").close()
    except OSError as error:
        raise UserError(f"no checkpoint at {path} ({error.strerror or error})") from error
    try:
        # Mapped: a replay is read where it is copied to, and never stands in memory twice.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be read as a checkpoint: {reason}") from error


class Checkpoints:
    """The full states of a run, the last few of them.

    Args:
        folder: where they are: `state_<env steps>.pt`.
        keep: how many stay; an older one goes when the newer is whole.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep

    def all(self) -> list[Path]:
        """Paths, oldest first."""
        return sorted(self.folder.glob("state_*.pt"))

    def save(self, state: Any, env_steps: int) -> None:
        """Write a state; UserError in one line if the disk refuses, the last good one stays."""
        check_ours(self.folder.parent)
        path = self.folder / f"state_{env_steps:012d}.pt"
        # A kill in the middle of a write leaves its part, under a name that need not come again.
        for part in self.folder.glob("state_*.pt.tmp"):
            part.unlink()
        try:
            save(state, path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            path.with_name(path.name + ".tmp").unlink(missing_ok=True)
            reason = " ".join(str(error).split())[:150]
            raise UserError(f"{path}: the checkpoint cannot be written ({reason})") from error
        for old in self.all()[: -self.keep]:
            old.unlink()

    def save_policy(self, agent: Agent, best: bool, **about: Any) -> None:
        """Save the policy, with what is worth knowing about it, as the last one and, if so, as the best."""
        check_ours(self.folder.parent)
        for name in ("last", "best") if best else ("last",):
            save_policy(agent, self.folder / f"{name}.pt", **about)

    def latest(self) -> Any | None:
        """Return the newest state, or None."""
        paths = self.all()
        if not paths:
            return None
        state = load(paths[-1])
        if not isinstance(state, dict) or not isinstance(state.get("record"), dict):
            raise UserError(f"{paths[-1]} is no checkpoint of her_exp")
        if not {"envs", "agent", "buffer", "functions", "clock", "log"} <= state.keys():
            raise UserError(f"{paths[-1]} is no whole checkpoint of her_exp")
        return state


def restore(part: Any, state: Any, what: str) -> None:
    """Load `state` into `part`, or raise UserError in one line: it may be a file of something else."""
    try:
        part.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise UserError(f"{what} does not fit this run ({reason})") from error


def save_policy(agent: Agent, path: Path, **about: Any) -> None:
    """Save the agent's state with what is worth knowing about it (env_steps, success, ...)."""
    save({"agent": agent.state_dict(), "about": about}, path)


def load_policy(agent: Agent, path: Path) -> dict[str, Any]:
    """Restore the agent; returns what was saved about it."""
    state = load(path)
    if not isinstance(state, dict) or not {"agent", "about"} <= state.keys():
        raise UserError(f"{path} is no policy of her_exp")
    restore(agent, state["agent"], str(path))
    return dict(state["about"])


def to_plain(value: Any) -> Any:
    """Return nested dicts, lists and tuples with arrays as tensors and NumPy scalars as numbers.

    Raises:
        TypeError: something else is in it.
    """
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return value
    raise TypeError(f"cannot be kept in a checkpoint: {type(value).__name__}")


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given, tensors as arrays again, tuples as lists."""
    if isinstance(value, dict):
        return {key: from_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    return value.numpy().copy() if isinstance(value, torch.Tensor) else value
