"""The small files of a run folder, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any, suffix: str = ".tmp") -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one.

    What is not finite becomes null, since JSON knows no NaN. `suffix` names the temporary file; where
    several processes may write at once it must differ.
    """
    temporary = path.with_name(path.name + suffix)
    with temporary.open("w") as file:
        json.dump(_finite(content), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; what is missing, damaged or no object reads as an empty one."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def sync_folder(folder: Path) -> None:
    """Bring a rename onto the disk: without it a power cut may undo what the file's fsync kept."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def empty_result(status: str, reason: str | None = None) -> dict[str, Any]:
    """Return a `result.json` of a run that has done nothing yet."""
    return {
        "status": status,  # running, done, stopped (by a signal) or failed
        "reason": reason,
        "env_steps": 0,
        "episodes": 0,
        "updates": 0,
        "train_seconds": 0.0,
        "wall_seconds": 0.0,
        "eval": None,
        "reached": {},
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
