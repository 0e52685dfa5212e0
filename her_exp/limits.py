"""What the numbers of an experiment may be: intervals in annotations, torch-free.

A setting is written once, where its class takes it: `gamma: Gamma = 0.98`. The configuration is checked by
that before anything is made, and so is a constructor's call, so that a notebook and the command line refuse
the same values. What stands in no class of ours is in the table below, by name.
"""

from __future__ import annotations

import math
import numbers
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Range:
    """An interval of finite numbers, or with its upper end too; `text` completes "must be ..."."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    infinite: bool = False  #: infinity itself is one of them

    @property
    def text(self) -> str:
        """The interval in words, e.g. '> 0' or 'in [0, 1)'."""
        if math.isinf(self.low):
            return "a finite number"
        if math.isinf(self.high):
            end = ", or inf (in a file .inf)" if self.infinite else ""
            return f"{'>' if self.low_open else '>='} {self.low:g}{end}"
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        high = f"{self.high:g}" if self.high < 1e6 else f"{self.high:.0f}"
        return f"in {left}{self.low:g}, {high}{right}"

    def holds(self, value: float) -> bool:
        """Say whether `value` lies in the interval; NaN never does, nor infinities but one that is named."""
        if self.infinite and value == math.inf:
            return True
        if _no_number(value):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below


@dataclass(frozen=True)
class AtMost:
    """What a setting may be by another one of its class: at most that, or `less`."""

    other: str
    less: bool = False

    def complaint(self, value: Any, values: Mapping[str, Any], prefix: str = "") -> str | None:
        """Return what `value` must be, by the other among `values`, named with `prefix`."""
        most = values.get(self.other)
        if not (_is_number(value) and _is_number(most)):
            return None
        if value < most or (value == most and not self.less):
            return None
        return f"must be {'less than' if self.less else 'at most'} {prefix}{self.other}={most}"


def _no_number(value: object) -> str:
    """Say what keeps a value from being a number to count with, or ''."""
    if isinstance(value, int):
        return "below 2**63, " if value >= 2**63 else ""
    return "a finite number, " if isinstance(value, float) and not math.isfinite(value) else ""


_POSITIVE = Range(0, low_open=True)
_NOT_NEGATIVE = Range(0)
_COUNT = Range(1)
_SHARE = Range(0, 1)
_THREADS = Range(1, 4096)  # torch crashes on very many

# Kinds of settings, for annotations: what stands there is read by constructor and config check alike.
Positive = Annotated[float, _POSITIVE]
NotNegative = Annotated[float, _NOT_NEGATIVE]
Ratio = Annotated[float, Range(0, infinite=True)]
Count = Annotated[int, _COUNT]
NotNegativeCount = Annotated[int, _NOT_NEGATIVE]
Share = Annotated[float, _SHARE]
Gamma = Annotated[float, Range(0, 1, high_open=True)]
Inner = Annotated[float, Range(0, 1, low_open=True, high_open=True)]
Tau = Annotated[float, Range(0, 1, low_open=True)]
Aim = Annotated[float, Range(-1000, 1000)]
Level = Annotated[float, Range(0, 1, low_open=True)]
Finite = Annotated[float, Range()]
Threads = Annotated[int, _THREADS]


def limit_of(annotation: Any, kind: type = Range) -> Any:
    """Return the limit of this kind that an annotation names, in a union or a list too, or None."""
    if isinstance(annotation, kind):
        return annotation
    found = (limit_of(part, kind) for part in get_args(annotation))
    return next((limit for limit in found if limit is not None), None)


def hints_of(cls: type) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields, each resolved where it was written."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        names = vars(sys.modules[base.__module__])
        for name, written in vars(base).get("__annotations__", {}).items():
            with suppress(NameError, TypeError, AttributeError):  # names for type checkers only
                holder = SimpleNamespace(__annotations__={"it": written})
                hints[name] = get_type_hints(holder, globalns=names, include_extras=True)["it"]
    return hints


def check_settings(settings: object) -> None:
    """Raise ValueError if a field of a dataclass is not what its annotation says."""
    hints = hints_of(type(settings))
    _check(type(settings), hints, {name: getattr(settings, name, None) for name in hints})


def check_arguments(owner: type, values: Mapping[str, object]) -> None:
    """Raise ValueError if an argument of a constructor is not what its annotation says.

    Args:
        owner: the class, named in the message.
        values: the constructor's `locals()`.
    """
    hints = get_type_hints(vars(owner)["__init__"], include_extras=True)
    _check(owner, hints, {name: values[name] for name in hints if name in values})


def _check(owner: type, hints: Mapping[str, Any], values: Mapping[str, object]) -> None:
    for name, value in values.items():
        limit = limit_of(hints[name])
        wrong = complaint_of(limit, value) if limit else None
        wrong = wrong or (_OTHERS[name](value) if name == "reward_range" else None)
        most = limit_of(hints[name], AtMost)
        wrong = wrong or (most.complaint(value, values) if most else None)
        choices = [part for part in choices_of(hints[name]) if isinstance(part, str)]
        if isinstance(value, str) and choices and value not in choices:
            wrong = f"must be {' or '.join(choices)}"
        if wrong:
            raise ValueError(f"{owner.__name__}: {name}={value!r} {wrong}")


def choices_of(annotation: Any) -> list[Any]:
    """Return the values of every `Literal` within an annotation."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for part in get_args(annotation) for choice in choices_of(part)]


#: A parameter means the same wherever it occurs. Lists are checked element by element.
#: None, False and "auto" pass: whether a parameter may be so is said by its annotation.
RANGES: dict[str, Range] = {
    # the run
    "seed": Range(0, 2**32, high_open=True),
    "threads": _THREADS,
    # env
    "max_steps": _COUNT,
    "max_episode_steps": _COUNT,
    "dt": _POSITIVE,
    "goal_range": _POSITIVE,
    "max_speed": _POSITIVE,
    "distance_threshold": _POSITIVE,
    "action_scale": _POSITIVE,
    "n_bits": Range(1, 10**6),
    "size": _POSITIVE,
    # launchers and sweepers
    "n_jobs": _COUNT,
    "cpus_per_task": _COUNT,
    "timeout_min": _COUNT,
    "signal_delay_s": _COUNT,
    "max_num_timeout": _NOT_NEGATIVE,
    "array_parallelism": _COUNT,
    "mem_gb": _POSITIVE,
    "num_cpus": _COUNT,
    "max_retries": _NOT_NEGATIVE,
    "n_trials": _COUNT,
    "n_startup_trials": _NOT_NEGATIVE,
}

_DEVICE = re.compile(r"cpu|auto|cuda(:\d+)?")
#: Losses square returns as float32, which ends at 3e38.
_LARGEST_RETURN = 1e18
_REWARD = Range(-_LARGEST_RETURN, _LARGEST_RETURN)


def _device(value: object) -> str | None:
    good = isinstance(value, str) and _DEVICE.fullmatch(value)
    return None if good else "must be cpu, cuda, cuda:N or auto"


def _reward_range(value: object) -> str | None:
    pair = value if isinstance(value, Sequence) and len(value) == 2 else ()
    good = bool(pair) and all(_is_number(end) and _REWARD.holds(end) for end in pair)
    if value is None or (good and pair[0] < pair[1]):
        return None
    return (
        "must be null or [lowest, highest], two different numbers of at most "
        f"{_LARGEST_RETURN:g} (they are squared as float32)"
    )


#: What is no matter of one interval.
_OTHERS = {"device": _device, "reward_range": _reward_range}


def return_complaint(reward_range: Sequence[float], gamma: float) -> str | None:
    """Say what is wrong with what such rewards can pay in an endless episode; None if nothing is."""
    most = max(map(abs, reward_range)) / (1.0 - gamma)
    if most <= _LARGEST_RETURN:
        return None
    return (
        f"pays up to {most:g} at gamma={gamma:g}; returns must be at most {_LARGEST_RETURN:g} (they are "
        "squared as float32): scale the rewards down"
    )


def target_range(
    reward_range: tuple[float, float] | None, gamma: float
) -> tuple[float, float] | None:
    """Return the (lowest, highest) return that rewards in `reward_range` can pay, for gamma < 1.

    An episode may end at once or go on for ever, so both the reward itself and its endless
    discounted sum are in reach (the clipping of Andrychowicz et al. 2017, for any reward).

    Raises:
        ValueError: returns so large that float32 cannot hold their squares.
    """
    if reward_range is None:
        return None
    if wrong := return_complaint(reward_range, gamma):
        raise ValueError(f"reward_range={list(reward_range)} {wrong}")
    low, high = reward_range
    return min(low, low / (1.0 - gamma)), max(high, high / (1.0 - gamma))


def rows_complaint(capacity: float | None, num_envs: float | None, other: str) -> str | None:
    """Say so if a buffer has too few rows for its lanes, whose number `other` names."""
    if capacity is None or num_envs is None or capacity >= 2 * num_envs:
        return None
    return f"must be at least 2 * {other} = {2 * num_envs}"


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def complaint(name: str, value: object) -> str | None:
    """Return what the parameter `name` must be; None if `value` is fine or `name` has no range."""
    if name in _OTHERS:
        return _OTHERS[name](value)
    return complaint_of(RANGES.get(name), value)


def complaint_of(rule: Range | None, value: object) -> str | None:
    """Return what a value must be by a rule; None, False and auto pass: their annotation says of them."""
    if rule is None or value is None or value is False or value == "auto":
        return None
    many = isinstance(value, Sequence) and not isinstance(value, str)
    each: Sequence[object] = value if isinstance(value, Sequence) and many else (value,)
    for item in each:
        if not (_is_number(item) and rule.holds(cast(float, item))):
            says_so = math.isinf(rule.low) or rule.infinite  # its text, of what is finite
            finite = "" if says_so else _no_number(item)
            return f"{'each must' if many else 'must'} be {finite}{rule.text}"
    return None
