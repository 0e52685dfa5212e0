"""What a sweep's overrides let vary: lists of values and intervals, torch- and Optuna-free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep


class Choice(NamedTuple):
    """One of several values, each as it is written after the `=`."""

    values: list[str]


class Interval(NamedTuple):
    """A number from `low` to `high`, both included; whole if both are. `step`: on a grid from `low`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


Dimension = Choice | Interval


def dimension(override: Override) -> Dimension:
    """Return what one swept override lets vary."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        return Interval(value.start, value.end, "log" in value.tags)
    values = list(override.sweep_string_iterator())
    if isinstance(value, RangeSweep) and len(values) > 1:
        whole = isinstance(value.start, int) and isinstance(value.step, int)
        low, high = sorted(int(v) if whole else float(v) for v in (values[0], values[-1]))
        return Interval(low, high, step=abs(int(value.step) if whole else float(value.step)))
    return Choice(values)


def dimensions(overrides: Sequence[Override]) -> dict[str, Dimension]:
    """Return what varies, by key."""
    return {o.get_key_element(): dimension(o) for o in overrides if o.is_sweep_override()}


def corners(overrides: Sequence[Override]) -> Iterator[tuple[list[str], str]]:
    """Walk jobs in which each value of a list and each end of an interval occurs.

    Yields a job's overrides and which of them it is there for. One is changed at a time; the others
    stand at their first value.
    """
    space = dimensions(overrides)
    ends = {key: list(_ends(dim)) for key, dim in space.items()}

    first = {key: texts[0] for key, texts in ends.items()}

    def job(values: dict[str, str]) -> list[str]:
        named = [(o, o.get_key_element()) for o in overrides]
        return [f"{key}={values[key]}" if key in space else str(o.input_line) for o, key in named]

    yield job(first), " ".join(f"{key}={text}" for key, text in first.items())
    for key, texts in ends.items():
        for text in texts[1:]:
            yield job(first | {key: text}), f"{key}={text}"


def _ends(dim: Dimension) -> Iterator[str]:
    yield from dim.values if isinstance(dim, Choice) else (str(dim.low), str(dim.high))
