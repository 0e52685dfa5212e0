"""The real configuration as a tree to draw from: what fits together, each leaf's type and limits.

All of it comes from where the program has it: a new agent, env or key joins by itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from random import Random
from typing import Any

from her_exp import CONF_DIR
from her_exp.buffers.goals import STRATEGIES
from her_exp.config.compose import compose
from her_exp.config.hydra_api import plain
from her_exp.config.rules import env_and_agent
from her_exp.config.signatures import arguments, find_class, mismatch
from her_exp.config.validate import with_env
from her_exp.limits import RANGES, Range, choices_of, limit_of

GROUPS = ("env", "buffer", "agent", "trainer")
#: Keys whose values another key or the env itself must agree with.
FIXED = ("agent.target_critics", "agent.drop_quantiles", "env.goal_distance")


@dataclass
class Leaf:
    """A value of the configuration, what its class takes there, and its limits."""

    key: str
    value: Any
    takes: Any
    range: Range | None

    @property
    def takes_floats(self) -> bool:
        return mismatch(1.5, self.takes) is None


@dataclass
class Base:
    """A choice of groups, and every leaf that it has."""

    words: list[str]
    leaves: dict[str, Leaf]


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


@functools.cache
def tree() -> list[Base]:
    """Return the choices of groups that fit together."""
    gym = ["env.id=her_exp/PointReach-v0", "+env.max_steps=10"]  # what env=gym leaves to the user
    named = [[f"experiment={name}"] for name in options("experiment")]
    pairs = [(env, agent) for env in options("env") for agent in options("agent")]
    named += [[f"env={e}", *(gym if e == "gym" else []), f"agent={a}"] for e, a in pairs]
    found = [(words, plain(compose(words))) for words in named]
    # Another package may be absent, or slow to start.
    own = [(words, cfg) for words, cfg in found if not cfg["env"]["imports"]]
    return [Base(words, _leaves(cfg)) for words, cfg in own if env_and_agent(cfg) is None]


def _leaves(cfg: dict[str, Any]) -> dict[str, Leaf]:
    leaves = [Leaf(name, cfg[name], int, RANGES[name]) for name in ("seed", "threads")]
    for group in GROUPS:
        cls = find_class(group, cfg[group]["_target_"])
        takes = arguments(cls)
        takes = with_env(cls, takes, cfg[group]) if group == "env" else takes
        for name, value in cfg[group].items():
            if not name.startswith("_"):
                kind = takes.types.get(name, Any)
                leaves.append(
                    Leaf(f"{group}.{name}", value, kind, limit_of(kind) or RANGES.get(name))
                )
    return {leaf.key: leaf for leaf in leaves}


def text(value: Any) -> str:
    """Write a value as on the command line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{','.join(map(text, value))}]" if isinstance(value, list) else str(value)


def good_value(random: Random, leaf: Leaf) -> str:
    """Draw a value that the leaf may have: a choice, or a number from its default to twice that."""
    value = leaf.value
    if leaf.key in FIXED or value is None:
        return text(value)
    # Not every machine has bfloat16; envpool has none of the envs that every machine has.
    choices = [c for c in choices_of(leaf.takes) if c not in ("envpool", "bfloat16")]
    choices = [choice for choice in choices if isinstance(choice, str)]
    if choices:
        return str(random.choice(choices))
    if isinstance(value, bool) and not leaf.key.startswith("env."):  # those may change its spaces
        return text(random.random() < 0.5)
    if leaf.key == "buffer.strategy":
        return str(random.choice(sorted(STRATEGIES)))
    if leaf.range is None:
        return text(value)
    if isinstance(value, list):
        return text([random.randint(1, 32) for _ in range(random.randrange(4))])
    most = min(2 * value or 1, leaf.range.high)
    if isinstance(value, int) and not leaf.takes_floats:
        return str(random.randint(value, max(value, int(most))))
    return repr(value + random.choice([0.0, 0.1, 0.5, 0.9]) * (most - value))
