"""Values against types, and the arguments that a class takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from her_exp.config.signatures import arguments, mismatch
from her_exp.types import UserError


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, [1, -1], [1.0, True, "1", None, [1]]),
        (float, [1, 1.5], [True, "1", None]),
        (bool, [True], [1, "true"]),
        (str, ["a"], [1, None]),
        (int | None, [1, None], ["a", 1.5]),
        (Sequence[int], [[1], []], [["a"], 1, "ab", [1.5]]),
        (list[str], [["a"]], [[1]]),
        (Iterable[float], [[1, 2.5]], [3]),
        (tuple[float, float], [[1, 2]], [[1], [1, 2, 3]]),
        (tuple[int, ...], [[1, 2, 3]], [["a"]]),
        (Literal["a", "b"], ["a"], ["c", 1]),
        (dict[str, int], [{"a": 1}], [[1]]),
        (Path, ["a/b"], [3]),
        (Any, [1, "a", None], []),
        (UserError, [{"_target_": "x"}, "a"], []),
    ],
)
def test_types(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert mismatch(value, annotation) is None, value
    for value in bad:
        assert mismatch(value, annotation) is not None, value


class Base:
    def __init__(self, depth: int, width: int = 3):
        pass


class Child(Base):
    def __init__(self, name: str, *, size: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)


class Hungry:
    def __init__(self, name: str, **kwargs: Any):
        pass


def test_arguments_follow_kwargs_to_the_bases() -> None:
    child = arguments(Child)
    assert child.types == {"name": str, "size": float, "depth": int, "width": int}
    assert child.required == {"name"}
    assert not child.open
    assert arguments(Hungry).open
    assert not arguments(Base).open
    assert arguments(inspect.signature).types["follow_wrapped"] is Any
