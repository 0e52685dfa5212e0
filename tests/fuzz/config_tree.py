"""The real configuration as a tree to draw from: what fits together, each leaf's type and limits.

All of it comes from where the program has it: groups and leaves from the files of conf/, types from the
signatures of the classes they name, limits from their annotations. A new agent, env or key joins by itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from random import Random
from typing import Any

from her_exp import CONF_DIR
from her_exp.buffers.goals import STRATEGIES
from her_exp.config import validate as validation
from her_exp.config.compose import compose
from her_exp.config.hydra_api import plain
from her_exp.config.rules import env_and_agent
from her_exp.config.signatures import arguments, find_class, mismatch
from her_exp.limits import RANGES, Range, choices_of, limit_of

GROUPS = ("env", "buffer", "agent", "trainer")
#: Keys whose values may not pass that of another key.
BELOW = ("agent.target_critics", "agent.drop_quantiles")
#: What a group's file needs beside it, where it leaves a value to the user.
NEEDS = {"env=gym": ["env.id=her_exp/PointReach-v0", "+env.max_steps=10"]}


@dataclass
class Leaf:
    """A value of the configuration, what its class takes there, and its limits."""

    key: str
    value: Any
    takes: Any
    range: Range | None


@dataclass
class Base:
    """A choice of groups, and every leaf that it has."""

    words: list[str]
    leaves: dict[str, Leaf]


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


@functools.cache
def tree() -> tuple[list[Base], list[list[str]]]:
    """Return the choices of groups that fit together, and those of an agent that cannot act."""
    fit, misfit = [], []
    for env in options("env"):
        company = [f"env={env}", *NEEDS.get(f"env={env}", [])]
        for agent in options("agent"):
            words = [*company, f"agent={agent}"]
            cfg = plain(compose(words))
            if cfg["env"]["imports"]:  # another package, which may be absent or slow to start
                continue
            if env_and_agent(cfg) is None:
                fit.append(_base(words))
            else:
                misfit.append(words)
    named = [_base([f"experiment={name}"]) for name in options("experiment")]
    return fit + [base for base in named if not base.leaves["env.imports"].value], misfit


def _base(words: list[str]) -> Base:
    cfg = plain(compose(words))
    leaves = {}
    for group in GROUPS:
        node = cfg[group]
        cls = find_class(group, node["_target_"])
        takes = arguments(cls)
        takes = validation.with_env(cls, takes, node) if group == "env" else takes
        for name, value in node.items():
            if not name.startswith("_"):
                key = f"{group}.{name}"
                kind = takes.types.get(name, Any)
                leaves[key] = Leaf(key, value, kind, limit_of(kind) or RANGES.get(name))
    for name in ("seed", "threads"):
        leaves[name] = Leaf(name, cfg[name], int, RANGES[name])
    return Base(words, leaves)


def text(value: Any) -> str:
    """Write a value as on the command line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{','.join(map(text, value))}]" if isinstance(value, list) else str(value)


def good_value(random: Random, leaf: Leaf) -> str:
    """Draw a value that the leaf may have: a choice, or a number from its default to twice that."""
    if leaf.key in BELOW or leaf.key == "env.goal_distance":  # the env itself must agree with that
        return text(leaf.value)
    choices = [c for c in choices_of(leaf.takes) if isinstance(c, str) and c != "envpool"]
    if choices:  # envpool has none of the envs that every machine has
        return str(random.choice(choices))
    if isinstance(leaf.value, bool) and not leaf.key.startswith(
        "env."
    ):  # those may change its spaces
        return text(random.random() < 0.5)
    if leaf.key == "buffer.strategy":
        return str(random.choice(sorted(STRATEGIES)))
    if leaf.range is None or leaf.value is None:
        return text(leaf.value)
    if isinstance(leaf.value, list):
        return text([random.randint(1, 32) for _ in range(random.randrange(4))])
    most = min(2 * leaf.value or 1, leaf.range.high)
    if isinstance(leaf.value, int) and not takes_floats(leaf):
        return str(random.randint(leaf.value, max(leaf.value, int(most))))
    share = random.choice([0.0, 0.1, 0.5, 0.9])
    return repr(leaf.value + share * (most - leaf.value))


def takes_floats(leaf: Leaf) -> bool:
    return mismatch(1.5, leaf.takes) is None
