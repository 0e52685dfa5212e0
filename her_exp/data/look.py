"""What is in a set: how long, how good, and whether an env's own functions agree with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from her_exp.data.minari_set import Episode, MinariSet
from her_exp.types import GoalFunctions, GoalSpaces


class Judged(NamedTuple):
    """What an env's functions say of an episode, (T,) each but the goals."""

    met: Any  #: bool: the goal asked for is met after the step
    paid_alike: Any  #: bool: the reward is that of the env's function
    ends_alike: Any  #: bool: the episode ends there if, and only if, the goal ends it
    goals: list[bytes]  #: the goal of each step


def judge(episode: Episode, functions: GoalFunctions) -> Judged:
    """Ask an env's functions about the steps of an episode."""
    achieved = episode.observation["achieved_goal"][1:]
    asked = episode.observation["desired_goal"][:-1]
    reward = functions.reward(achieved, asked, episode.info)
    return Judged(
        np.asarray(functions.success(achieved, asked, episode.info), bool),
        np.isclose(reward, episode.reward, 1e-5, 1e-5),
        functions.terminated(achieved, asked, episode.info) == episode.terminated,
        [goal.tobytes() for goal in asked],
    )


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
        judged = judge(episode, functions)
        count["last"] += int(judged.met[-1])
        count["paid"] += int(judged.paid_alike.sum())
        count["ends"] += int(judged.ends_alike.sum())
        asked.update(judged.goals)
        met.update(goal for goal, is_met in zip(judged.goals, judged.met, strict=True) if is_met)
    yield (
        "ok",
        "success",
        f"{count['last'] / len(found.lengths):.1%} of the episodes at the last step",
    )
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
