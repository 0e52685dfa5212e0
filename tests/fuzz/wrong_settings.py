"""Wrong settings in a command line: keys, values and groups that are not there, or do not fit."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from her_exp.config.signatures import mismatch
from tests.fuzz.config_tree import BELOW, GROUPS, Base, Leaf, options, takes_floats, tree
from tests.fuzz.wrong_words import some_leaf, typo, wrong

#: What people write into the wrong place: text, and what it is read as.
STRANGE: dict[str, Any] = {
    "abc": "abc", "''": "", '"1"': "1", "1.5": 1.5, "true": True, "null": None, "[1,2]": [1, 2],
    "[[]]": [[]], "{a: 1}": {"a": 1}, "[null]": [None], "½": "½", "٣": "٣", "1e400": math.inf,
}  # fmt: skip


@wrong
def wrong_type(random: Random, base: Base, words: list[str]) -> list[str]:
    def strange(leaf: Leaf) -> list[str]:
        return [t for t, v in STRANGE.items() if mismatch(v, leaf.takes) is not None]

    leaf = some_leaf(random, base, lambda leaf: bool(strange(leaf)))
    words.append(f"{leaf.key}={random.choice(strange(leaf))}")
    return [leaf.key]


@wrong
def out_of_range(random: Random, base: Base, words: list[str]) -> list[str]:
    leaf = some_leaf(random, base, lambda leaf: leaf.range is not None)
    assert leaf.range is not None
    low, high = leaf.range.low, leaf.range.high
    near = [low - 1, low, -low - 7, high, high + 1, math.nan, math.inf, -math.inf, -0.5, -1e300]
    outside = random.choice([float(v) for v in near if not leaf.range.holds(v)])
    whole = outside.is_integer() and not takes_floats(leaf)
    value = str(int(outside) if whole else outside)
    words.append(f"{leaf.key}={f'[{value}]' if isinstance(leaf.value, list) else value}")
    return [leaf.key]


@wrong
def unknown_key(random: Random, base: Base, words: list[str]) -> list[str]:
    group, _, name = some_leaf(random, base, lambda leaf: "." in leaf.key).key.partition(".")
    spelt = f"{group}.{typo(random, name, [k.partition('.')[2] for k in base.leaves])}"
    plus = random.choice(["", "", "+", "++", "~"])
    words.append(f"{plus}{spelt}" if plus == "~" else f"{plus}{spelt}=1")
    return [spelt]


@wrong
def misspelt_group(random: Random, base: Base, words: list[str]) -> list[str]:
    group = random.choice([*GROUPS, "experiment"])
    option = random.choice(options(group))
    if random.random() < 0.5:
        spelt = typo(random, group, GROUPS)
        words.append(f"{spelt}={option}")
        return [spelt]
    spelt = typo(random, option, options(group))
    words.append(f"{group}={spelt}")
    return [f"{group}={spelt}"]


@wrong
def misfit(random: Random, base: Base, words: list[str]) -> list[str]:
    words[:] = random.choice(tree()[1])
    return ["agent: "]


@wrong
def contradiction(random: Random, base: Base, words: list[str]) -> list[str]:
    pairs = {
        "trainer.batch_size": ["buffer.capacity=100", "trainer.batch_size=101"],
        "trainer.learning_starts": ["trainer.total_steps=50", "trainer.learning_starts=50"],
        "buffer.capacity": ["env.num_envs=60", "buffer.capacity=100"],
        "env.backend": ["env=gym", "env.id=Acrobot-v1", "env.backend=native"],
        "env.reward_range": ["env.reward_range=[0,-1]"],
        "env.id": ["env=gym", "env.id=CartPole-v1"],
        "trainer.checkpoint_every": ["trainer.checkpoint_every=3"],
    }
    if "env.goal_high" in base.leaves:
        pairs |= {"goal_high": ["env.size=2"], "goal_low": ["env.goal_low=4.5"]}
    pairs |= {
        key: [f"{other}=3", f"{key}=4"]
        for key, other in zip(BELOW, ("agent.n_critics", "agent.n_quantiles"), strict=True)
        if key in base.leaves and other in base.leaves
    }
    name = random.choice(sorted(pairs))
    if "env=gym" in pairs[name]:
        words.clear()
    words += pairs[name]
    return [name]


@wrong
def huge(random: Random, base: Base, words: list[str]) -> list[str]:
    """More than any machine has, or more digits than a machine's number."""
    if random.random() < 0.5:
        leaf = some_leaf(random, base, lambda leaf: leaf.range is not None)
        assert leaf.range is not None
        value = random.choice(["", "-"][: 1 + (leaf.range.low > -math.inf)]) + "9" * random.choice(
            [400, 5000]
        )
        words.append(f"{leaf.key}={f'[{value}]' if isinstance(leaf.value, list) else value}")
        return [leaf.key]
    asks = {"buffer.capacity": "1000000000000", "agent.hidden_sizes": "[2000000,2000000]",
            "env.num_envs": "1000000000", "env.n_bits": "1000000000"}  # fmt: skip
    key = random.choice([key for key in asks if key in base.leaves])
    words.append(f"{key}={asks[key]}")
    return [key, "buffer.capacity"]
