"""The files of the configuration, as one would choose them, and what they need beside them."""

from __future__ import annotations

from pathlib import Path

from her_exp import CONF_DIR

GROUPS = ("env", "buffer", "agent", "trainer", "experiment")
#: What a choice needs beside it to be a whole experiment.
COMPANY = {
    "agent=crl": ["buffer.k=inf", "buffer.strategy=geometric"],
    "agent=dqn": ["env=bit_flip"],
    "agent=gcbc": ["buffer.k=inf"],
    "agent=qrdqn": ["env=bit_flip"],
    "experiment=crl/point_maze": ["buffer.k=inf", "buffer.strategy=geometric"],
    "experiment=crl/point_reach": ["buffer.k=inf", "buffer.strategy=geometric"],
    "env=bit_flip": ["agent=dqn"],
    "env=gym": ["env.id=her_exp/PointReach-v0", "+env.max_steps=10", "env.num_envs=2"],
}


def choice(file: Path) -> str:
    """How a file is chosen on the command line, e.g. `experiment=her_paper/push`."""
    group, *name = file.relative_to(CONF_DIR).with_suffix("").parts
    return f"{group}={'/'.join(name)}"


CHOICES = sorted(choice(path) for group in GROUPS for path in (CONF_DIR / group).rglob("*.yaml"))


def words(chosen: str) -> list[str]:
    """The whole command line of a choice."""
    return [chosen, *COMPANY.get(chosen, [])]
