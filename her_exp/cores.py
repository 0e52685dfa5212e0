"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def cores() -> int:
    """Return how many cores this process may use: its affinity, and the limit of its container."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        limit = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such limit, or "max"
        limit = usable or 1
    return max(1, min(usable or 1, limit))
