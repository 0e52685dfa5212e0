"""How much memory a run may use: the machine's, or the least that a group around us is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from her_exp.system.machine import machine_bytes

ALL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("ours", "limits", "expected"),
    [
        (None, {}, ALL),
        ("0::/", {"memory.max": "max"}, ALL),
        ("0::/", {"memory.max": "4096"}, 4096),
        # As in a cluster's job: the limit is of a group between the top and ours.
        ("0::/slurm/job_7/step_0", {"slurm/job_7/memory.max": "8192"}, 8192),
        ("0::/a/b", {"memory.max": "900", "a/memory.max": "700", "a/b/memory.max": "max"}, 700),
        ("0::/a", {"b/memory.max": "100"}, ALL),  # somebody else's
        ("3:cpu:/a\n4:memory:/a/b", {"memory/a/memory.limit_in_bytes": "300"}, 300),
        # Inside a container the path may be that of the world outside: the top is what we see.
        ("4:cpuset,memory:/docker/x", {"memory/memory.limit_in_bytes": "200"}, 200),
        ("0::/../../other", {"memory.max": "500"}, 500),
    ],
)
def test_the_least_limit_counts(
    ours: str | None, limits: dict[str, str], expected: int, tmp_path: Path
) -> None:
    groups, said = tmp_path / "groups", tmp_path / "ours"
    for name, text in limits.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(f"{text}\n")
    if ours is not None:
        said.write_text(f"{ours}\n")
    assert machine_bytes(groups, said) == expected
