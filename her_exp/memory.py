"""Says before a run whether what it keeps in memory can fit into this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from her_exp.signatures import find_class
from her_exp.types import GoalSpaces

_GROUPS, _OURS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def machine_bytes(groups: Path = _GROUPS, ours: Path = _OURS) -> int:
    """Return the memory of this machine, or what a container or a cluster's job may use of it.

    Args:
        groups: where control groups are mounted.
        ours: says which of them hold this process.
    """
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in ours.read_text().splitlines() if ours.is_file() else ():
        _, kinds, path = line.split(":", 2)
        # Version 2 has one tree for all, version 1 one for memory. A limit holds for all below it.
        top, name = (
            (groups / "memory", "memory.limit_in_bytes") if kinds else (groups, "memory.max")
        )
        if kinds and "memory" not in kinds.split(","):
            continue
        folder = top / path.lstrip("/")
        for group in (folder, *folder.parents):
            limit = group / name
            text = limit.read_text().strip() if limit.is_file() else ""
            found += [int(text)] if text.isdigit() else []
            if group == top:
                break
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
