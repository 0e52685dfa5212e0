"""What is in a set: how long, how good, and whether an env's own functions agree with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from her_exp.data.minari_set import MinariSet
from her_exp.types import GoalFunctions, GoalSpaces


def size(found: MinariSet) -> str:
    """Say how much is in a set."""
    lengths = found.lengths
    return (
        f"{len(lengths)} episodes, {found.steps} steps ({min(lengths)} to {max(lengths)} in each)"
    )


def look(
    found: MinariSet, spaces: GoalSpaces, functions: GoalFunctions, info_keys: Sequence[str]
) -> Iterator[tuple[Literal["ok", "warning"], str, str]]:
    """Yield level, what was looked at, and what was seen, of a set that fits the env."""
    count, asked, met = Counter[str](), set[bytes](), set[bytes]()
    for episode in found.episodes(spaces, info_keys):
        goals = episode.observation["desired_goal"][:-1]
        given = episode.observation["achieved_goal"][1:], goals, episode.info
        success = np.asarray(functions.success(*given), bool)
        count["last"] += int(success[-1])
        count["paid"] += int(np.isclose(functions.reward(*given), episode.reward, 1e-5, 1e-5).sum())
        count["ends"] += int((functions.terminated(*given) == episode.terminated).sum())
        asked.update(goal.tobytes() for goal in goals)
        met.update(goal.tobytes() for goal in goals[success])
    won = count["last"] / len(found.lengths)
    yield "ok", "success", f"{won:.1%} of the episodes at the last step"
    yield "ok", "goals", f"{len(met)} of the {len(asked)} goals that were asked for are met"
    for name, what, function in (
        ("paid", "rewards", "compute_reward"),
        ("ends", "terminations", "the end of a goal"),
    ):
        says = f"{count[name] / found.steps:.1%} of the steps agree with {function} of the env"
        yield "ok" if count[name] == found.steps else "warning", what, says


def too_long(found: MinariSet, limit: int | None) -> str | None:
    """Say in a line that episodes are longer than the env's, or None."""
    if limit is None or max(found.lengths) <= limit:
        return None
    return (
        f"its longest episode has {max(found.lengths)} steps, one of the env at most {limit}; they are taken "
        "as they are"
    )
