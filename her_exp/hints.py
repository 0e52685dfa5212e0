"""Words of error lines: what was given, which name is near, what would be right."""

from __future__ import annotations

import difflib
import re
import shlex
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hydra._internal.grammar.utils import escape_special_characters
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from her_exp.signals import Stopped
from her_exp.types import UserError

if TYPE_CHECKING:
    from her_exp.config import Composer


#: Characters of a message, at most: a stranger's may be megabytes.
_LONGEST = 2000
_TRACE = 400  # lines of a traceback, at most: the last ones


def one_line(text: str) -> str:
    """Join the lines of a message, which may be a stranger's: printable, and not without end."""
    return printable(" ".join(shortened(text, _LONGEST).split()))


def shortened(text: str, most: int) -> str:
    """Return a text of `most` characters, or a little more: what is cut is counted."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """Return a stranger's text without what moves a terminal's cursor."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def message_of(error: BaseException) -> str:
    """Return the message of an error; '' where a stranger's class cannot even say it."""
    try:
        return str(error)
    except Exception:
        return ""


def written(value: object) -> str:
    """Return a value as it is written on a command line, for Hydra; the shell has its own quotes."""
    if isinstance(value, Mapping):
        pairs = [f"{escape_special_characters(str(k))}:{written(v)}" for k, v in value.items()]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, str):
        # Of backslashes only those count that end in a quote.
        return '"' + re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + (m[2] and r"\""), value) + '"'
    return "null" if value is None else str(value)


def reason_of(error: BaseException) -> str:
    """Say in one line why something ended: what we say as it is, else the class of the error too."""
    text, kind = one_line(message_of(error)), type(error).__name__
    if isinstance(error, UserError | Stopped | Left):
        return text
    return f"{kind}: {text}" if text else kind


class Left(RuntimeError):
    """A stranger's code wanted to end the program: by sys.exit, or by what is no `Exception`."""


@contextmanager
def foreign_code() -> Iterator[None]:
    """Let what a stranger's code raises here be an `Exception`, so that it ends a run and no more."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Left(reason_of(error)) from error


def trace_of(error: BaseException) -> str:
    """Return the traceback of an error, its lines printable and none without end."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(printable(shortened(line, _LONGEST)) for line in lines[-_TRACE:])


def nearest(word: str, names: Iterable[str], n: int = 2) -> list[str]:
    """Return up to `n` names like `word`, best first; of dotted names the last part counts most."""

    def ratio(a: str, b: str) -> float:
        # A unit that both end in (_steps, _every) makes no likeness.
        while "_" in a and "_" in b and a.rpartition("_")[2] == b.rpartition("_")[2]:
            a, b = a.rpartition("_")[0], b.rpartition("_")[0]
        return difflib.SequenceMatcher(None, a.lower(), b.lower()).ratio()

    parent, _, last = word.replace("/", ".").rpartition(".")
    scored = []
    for name in set(names):
        above, _, end = name.replace("/", ".").rpartition(".")
        same = ratio(last, end)
        if set(last.split("_")) <= set(end.split("_")):  # lr: actor_lr
            same = max(same, 0.8)
        if same >= 0.6:
            score = 0.75 * same + 0.25 * (above == parent or ratio(parent, above))
            scored.append((score + 0.25 * (last == end), name))
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    return [name for score, name in scored[:n] if score >= max(0.55, scored[0][0] - 0.05)]


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return 'did you mean a or b?', or '' where nothing is near."""
    near = nearest(word, names)
    return f"did you mean {' or '.join(near)}?" if near else ""


def unknown_key(key: str, names: Iterable[str]) -> str:
    """Return the line for a key that does not exist."""
    if not key:
        return "=: no key; write key=value, e.g. buffer.k=8"
    hint = did_you_mean(re.split("[@/]", key)[0], [name for name in names if name != key])
    return f"unknown key {key}: {hint or 'python -m her_exp.train --cfg job shows all keys'}"


def blame_experiment(text: str, overrides: Sequence[str], hydra: Composer) -> str:
    """Of keys that an experiment sets and another choice of their group does not take, say just that."""
    given = dict(word.partition("=")[::2] for word in overrides)
    if "experiment" not in given or "unknown key " not in text:
        return text
    try:
        without = set(keys(hydra.raw([o for o in overrides if not o.startswith("experiment=")])))
    except UserError:
        return text
    lines: list[str] = []
    foreign: dict[str, list[str]] = {}
    for line in text.splitlines():
        group, key = (re.findall(r"^unknown key (\w+)(\.[\w.]+): ", line) or [("", "")])[0]
        if group in given and group + key not in without:
            foreign.setdefault(group, []).append(group + key)
        else:
            lines.append(line)
    for group, names in foreign.items():
        choice, experiment = f"{group}={given[group]}", f"experiment={given['experiment']}"
        lines.append(
            f"{choice}: does not take {' and '.join(names)}, which {experiment} sets; "
            f"leave out {choice} or {experiment}"
        )
    return "\n".join(lines)


def blame_sweep(text: str, overrides: Sequence[str]) -> str:
    """Of keys that the default of a swept group does not have, say how they are given."""
    swept = {o.key_or_group for o in parsed(overrides) if o.is_sweep_override()}
    lines = []
    for line in text.splitlines():
        key = line.removeprefix("unknown key ").partition(": ")[0]
        given = next((o for o in overrides if o.partition("=")[0] == key), "")
        by = swept & {key.partition(".")[0], "experiment"}
        if given and by:
            line = (
                f"{given}: {min(by)} is swept, and not every choice has {key}; give it to each with "
                + shlex.quote(f"++{given}")
            )
        lines.append(line)
    return "\n".join(lines)


def keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Walk all dotted keys of a configuration, nodes and leaves."""
    for name in cfg:
        key = str(name)
        yield prefix + key
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing()):
            yield from keys(node, f"{prefix}{key}.")


def given_twice(overrides: Iterable[str]) -> list[str]:
    """Return a line for each key that several overrides set; Hydra takes the last of them."""
    given: dict[str, list[str]] = {}
    for text in overrides:
        key, equals, _ = text.partition("=")
        if equals and not key.startswith("~"):
            given.setdefault(key.lstrip("+"), []).append(text)
    return [
        f"{' '.join(texts)}: {key} is given {len(texts)} times"
        for key, texts in given.items()
        if len(texts) > 1
    ]


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Read overrides as Hydra does, without those that it cannot read."""
    found = []
    for override in overrides:
        try:
            found += OverridesParser.create().parse_overrides([override])
        except (HydraException, ValueError):
            continue
    return found
