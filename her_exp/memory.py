"""Says before a run whether what it keeps in memory can fit into this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from her_exp.signatures import find_class
from her_exp.types import GoalSpaces

#: What limits the memory of a container: control groups, version 2 and 1.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_bytes() -> int:
    """Return the memory of this machine, or of the container that we are in."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in map(Path, _LIMITS):
        text = path.read_text().strip() if path.is_file() else ""
        found += [int(text)] if text.isdigit() else []
    return min(found)


def too_large(values: dict[str, Any], spaces: GoalSpaces) -> str | None:
    """Return what of a configuration takes more memory than there is, or None.

    Asked are classes that have a static `nbytes(spaces, ...)`, a number of bytes that they need at
    least: a buffer's takes `capacity` and `num_envs`, an agent's `hidden_sizes`.
    """
    buffer, agent, lanes = values["buffer"], values["agent"], values["env"].get("num_envs")
    asks = (
        ("buffer", "capacity", (buffer.get("capacity"), lanes)),
        ("agent", "hidden_sizes", (agent.get("hidden_sizes"),)),
    )
    there = machine_bytes()
    for group, name, arguments in asks:
        count = getattr(find_class(group, values[group]["_target_"]), "nbytes", None)
        if count is None or None in arguments:
            continue
        need = count(spaces, *arguments)
        if need > there:
            key = f"{group}.{name}={arguments[0]}".replace(" ", "")
            return f"{key}: takes {need / 1e9:,.0f} GB at least, this machine has {there / 1e9:,.0f} GB"
    return None
