"""Families of tasks whose Gymnasium ids differ in a few named places, such as the map of a maze."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from her_exp.envs.make import GoalTask
from her_exp.text import did_you_mean
from her_exp.types import UserError

#: For each place of an id, the part of the id that each word stands for.
Choices = Mapping[str, Mapping[str, str]]


class VariantTask(GoalTask):
    """A task of a family: `VariantTask("Maze_{map}-v3", choices={"map": {"large": "Large"}}, map="large")`.

    Args:
        id: Gymnasium id with a place `{word}` for each choice.
        choices: for each place, what may stand there.
        **settings: a word for each place, and the arguments of `GoalTask`.

    Raises:
        UserError: a word is no choice; the line lists those there are.
    """

    def __init__(self, id: str, *, choices: Choices, **settings: Any):
        filled = fill(id, choices, settings)
        super().__init__(filled, **{k: v for k, v in settings.items() if k not in choices})


def fill(id: str, choices: Choices, words: Mapping[str, Any]) -> str:
    """Return the id with every place filled by the choice that its word names."""
    parts = {}
    for place, options in choices.items():
        word = words.get(place)
        if not isinstance(word, str) or word not in options:
            near = did_you_mean(str(word), options)
            given = "null" if word is None else word
            line = f"env.{place}={given}: must be one of {', '.join(options)}"
            raise UserError(f"{line}; {near}" if near else line)
        parts[place] = options[word]
    try:
        return id.format_map(parts)
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(
            f"env.id={id}: its places must be those of env.choices: {', '.join(choices)}"
        ) from error
