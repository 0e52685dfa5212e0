"""Compares configured values with what a class takes: names, types, what is required."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import pkgutil
import re
import shlex
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union

from her_exp.limits import choices_of, hints_of
from her_exp.system.foreign import foreign_code, reason_of
from her_exp.text import did_you_mean, written
from her_exp.types import UserError


@dataclass
class Arguments:
    """What a class or function takes by name."""

    types: dict[str, Any] = field(default_factory=dict)  #: name to annotation; Any where unknown
    required: set[str] = field(default_factory=set)
    open: bool = False  #: it keeps what it does not name (`**kwargs`)


def arguments(target: Callable[..., Any]) -> Arguments:
    """Read the arguments of a function, or of a class and, through `**kwargs`, of its bases."""
    found = Arguments()
    written = hints_of(target) if isinstance(target, type) and is_dataclass(target) else {}
    for depth, function in enumerate(_constructors(target)):
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # a builtin tells nothing about itself
            found.open = True
            return found
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                kind = written.get(parameter.name) or _annotation(function, parameter)
                found.types.setdefault(parameter.name, kind)
                if depth == 0 and parameter.default is parameter.empty:
                    found.required.add(parameter.name)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return found
    found.open = True
    return found


def _constructors(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return `target` and, of a class, what a `super().__init__(**kwargs)` in it may reach."""
    if not isinstance(target, type):
        return [target]
    owners = [base for base in target.__mro__[:-1] if "__init__" in vars(base)]
    return [target, *owners[1:]] if owners and owners[0] is target else [target, *owners]


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Resolve one annotation; Any where there is none or its names exist for type checkers only."""
    if parameter.annotation is parameter.empty:
        return Any
    holder = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
    constructor = (
        vars(function).get("__init__", function) if isinstance(function, type) else function
    )
    names = getattr(inspect.unwrap(constructor), "__globals__", {})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any


# --- types -------------------------------------------------------------------------------------

#: Infinity as files and other programs have it; Hydra reads these as text.
_INFINITE = (".inf", "Infinity", "infinity", "∞")
_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def mismatch(value: Any, annotation: Any) -> str | None:
    """Return what `value` must be to fit `annotation`, or None if it fits or nobody can tell."""
    if _fits(value, annotation):
        return None
    hint = ""
    # Floats beyond 2**53 name no whole number that somebody can have meant.
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    if whole and _fits(int(value), annotation):
        hint = f"; write {int(value)}"
    elif isinstance(value, str):
        names = [choice for choice in choices_of(annotation) if isinstance(choice, str)]
        near = did_you_mean(value, names)
        hint = f"; {near}" if near else ""
        if value in _INFINITE and _fits(math.inf, annotation):
            hint = "; on a command line infinity is inf"
    return f"must be {describe(annotation)}{hint}"


def several(key: str, value: Any, annotation: Any) -> str:
    """Say how each of several values is run, where `value` is such a list, else ''."""
    each = value if isinstance(value, list) else _each(value) if isinstance(value, str) else []
    if len(each) < 2 or not all(_fits(one, annotation) for one in each):
        return ""
    words = [one if str(one).isidentifier() else written(one) for one in each]
    short = ",".join(words) if len(each) <= 10 else f"range({each[0]},{each[-1] + 1})"
    return f"; to run each: -m {shlex.quote(f'{key}={short}')}"


def _each(text: str) -> Sequence[Any]:
    """Read several values as other programs take them: `0..3`, `0-3`, `0 1 2 3`."""
    if ends := re.fullmatch(r"(-?\d{1,9})(?:\.\.\.?|-)(\d{1,9})", text):
        return range(int(ends[1]), int(ends[2]) + 1)
    each: list[Any] = text.split()
    for number, word in enumerate(each):
        with suppress(ValueError):
            each[number] = json.loads(word)
    return each


def _fits(value: Any, annotation: Any) -> bool:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _fits(value, args[0])
    if origin in (Union, types.UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in args)
    kind = origin or annotation
    if kind in (None, type(None)):
        return value is None
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float):
        numbers = (int,) if kind is int else (int, float)
        return isinstance(value, numbers) and not isinstance(value, bool)
    if kind in (str, Path):
        return isinstance(value, str)
    if isinstance(kind, type):
        if issubclass(kind, Mapping):
            return isinstance(value, dict)
        if kind in (list, tuple, set) or issubclass(kind, Sequence | Collection | Iterable):
            return isinstance(value, list) and _items_fit(value, kind, args)
    # Any, type variables, and other people's classes: a node with a `_target_`, or their matter.
    return True


def _items_fit(value: list[Any], kind: type, args: tuple[Any, ...]) -> bool:
    if kind is tuple and args and Ellipsis not in args:
        return len(value) == len(args) and all(map(_fits, value, args))
    return not args or all(_fits(item, args[0]) for item in value)


def describe(annotation: Any) -> str:
    """Say an annotation in words, e.g. 'an integer or null'."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return describe(args[0])
    if origin in (Union, types.UnionType):
        ordered = sorted(args, key=lambda arg: arg is type(None))
        return " or ".join(dict.fromkeys(describe(arg) for arg in ordered))
    if origin is Literal:
        if args == (False,):
            return "false"
        return "one of " + ", ".join(str(choice) for choice in args)
    if annotation in (None, type(None)):
        return "null"
    kind = origin or annotation
    if kind in _WORDS:
        return _WORDS[kind]
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return "a mapping {key: value}"
    if isinstance(kind, type) and issubclass(kind, Iterable):
        if kind is tuple and args and Ellipsis not in args:
            return f"a list of {len(args)} values"
        words: dict[Any, str] = {int: "integers", float: "numbers", str: "texts"}
        first = args[0] if args else None
        first = typing.get_args(first)[0] if typing.get_origin(first) is typing.Annotated else first
        inside = words.get(first)
        return f"a list [...] of {inside or 'values'}"
    return getattr(kind, "__name__", str(kind))


# --- targets -----------------------------------------------------------------------------------


def find_class(key: str, path: object) -> type:
    """Import the class that a `_target_` names; UserError in one line if there is none."""
    given = f"{key}={path}"
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise UserError(f"{given}: must be package.module.Class")
    parts = path.split(".")
    found, depth = _import_longest(given, parts)
    for position in range(depth, len(parts)):
        if not hasattr(found, parts[position]):
            where = ".".join(parts[:position])
            near = did_you_mean(parts[position], _names(found))
            line = f"{given}: {where} has no {parts[position]}"
            raise UserError(f"{line}; {near}" if near else line)
        found = getattr(found, parts[position])
    if not isinstance(found, type):
        what = "a module" if inspect.ismodule(found) else f"a {type(found).__name__}"
        what = "a function" if callable(found) else what
        raise UserError(f"{given}: must be a class, this is {what}")
    return found


def _import_longest(given: str, parts: list[str]) -> tuple[Any, int]:
    """Import the longest prefix of `parts` that is a module; return it and its length."""
    for depth in range(len(parts), 0, -1):
        name = ".".join(parts[:depth])
        try:
            with foreign_code():
                return importlib.import_module(name), depth
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if name != missing and not name.startswith(missing + "."):
                raise UserError(f"{given}: importing {name} failed: {error}") from error
        except Exception as error:
            raise UserError(f"{given}: importing {name} failed: {reason_of(error)}") from error
    raise UserError(f"{given}: no module {parts[0]}; is its package installed, or on PYTHONPATH?")


def _names(found: Any) -> list[str]:
    """List the classes and submodules of a module, to find a near name."""
    names = [name for name, value in vars(found).items() if isinstance(value, type)]
    names += [module.name for module in pkgutil.iter_modules(getattr(found, "__path__", []))]
    return names
