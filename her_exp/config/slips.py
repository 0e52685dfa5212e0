"""Settings written as for another program, or taken apart by the shell: what is right in their place."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence

from hydra._internal.utils import get_args_parser

from her_exp.text import one_line, printable
from her_exp.types import UserError

_DASHES = "-\N{EN DASH}\N{EM DASH}"  # text programs make a long one of two
_KEY = re.compile(r"[A-Za-z_][\w./@]*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

#: Flags that are no settings of ours; does a value follow?
Flags = Mapping[str, bool]


def refuse_slips(
    words: Sequence[str],
    names: Collection[str],
    check: Callable[[list[str]], object],
    flags: Flags | None = None,
    folder: Callable[[str], str] | None = None,
) -> None:
    """Raise UserError with a line for each setting that is not written as `key=value`.

    Args:
        words: a command line.
        names: keys that have no dot.
        check: sees whether the words put right mean something; what it raises is said as well.
        flags: what begins with a dash and is right.
        folder: says what to write in place of a folder that stands alone.
    """
    right, lines = _mend(words, names, flags or {}, folder)
    if lines:
        try:
            check(right)
        except UserError as error:
            lines += str(error).splitlines()
        raise UserError("\n".join(lines))


def is_alone(word: str) -> bool:
    """Say whether a word has no key; names of run folders hold `=` themselves."""
    key, equals, _ = word.partition("=")
    return not equals or "/" in key


def _mend(
    words: Sequence[str],
    names: Collection[str],
    flags: Flags,
    folder: Callable[[str], str] | None,
) -> tuple[list[str], list[str]]:
    right: list[str] = []
    lines: list[str] = []
    rest = list(words)
    while rest:
        flag, equals, _ = rest[0].partition("=")
        taken, text = 1, ""
        if flag in flags:
            taken += flags[flag] and not equals
        elif folder and rest[0] not in names and is_alone(rest[0]) and os.path.isdir(rest[0]):
            lines.append(folder(rest[0]))
            rest = rest[1:]
            continue
        else:
            taken, text = _setting(rest, names)
        given, rest = rest[:taken], rest[taken:]
        if text and given != [text]:
            quoted = shlex.quote(text)
            says = "quote the whole:" if taken > 1 and quoted != text else "write"
            lines.append(printable(one_line(f"{' '.join(given)}: {says} {quoted}")))
        right += [text] if text else given
    return right, lines


def _setting(rest: Sequence[str], names: Collection[str]) -> tuple[int, str]:
    """Return how many words at the beginning are one setting, and it as `key=value`, or ''."""
    head = rest[0].lstrip(_DASHES)
    dashed, used = head != rest[0], 1
    key, equals, value = head.partition("=")
    if not equals:
        key, _, value = head.partition(":")
        if not (dashed or "." in key or key in names):
            return 1, ""
        if not value and rest[1:] and rest[1].startswith("="):
            used, value = 2, rest[1][1:]
    if dashed:
        key = key.replace("-", "_")
    if not _KEY.fullmatch(key.lstrip("+~")):
        return 1, ""
    if not value and rest[used:] and _is_value(rest[used], names if equals else ()):
        used, value = used + 1, rest[used]
    if not value and not equals:
        return 1, ""
    used, value = _whole(key, value, used, rest, names)
    return used, f"{key}={value}"


def _whole(
    key: str, value: str, used: int, rest: Sequence[str], names: Collection[str]
) -> tuple[int, str]:
    """Add to a value the words that the shell parted from it."""
    joined, count = value, used
    while rest[count:] and (
        ("=" not in rest[count] and _depth(joined) > 0)
        or (joined.endswith(",") and _is_value(rest[count], names))
        or (joined and rest[count].startswith(","))
    ):
        joined, count = f"{joined} {rest[count]}", count + 1
    if _depth(joined) == 0:
        used, value = count, joined
    while (  # several numbers, as other programs take lists
        rest[used:]
        and _NUMBER.fullmatch(rest[used])
        and _NUMBER.fullmatch(value.rpartition(",")[2])
    ):
        used, value = used + 1, f"{value},{rest[used]}"
    parts = [value] if re.match(r"\w+:", value) else []
    while parts and rest[used:] and re.match(re.escape(key) + r"=\w+:", rest[used]):
        parts.append(rest[used].partition("=")[2])  # of a={b:1,c:2} a shell makes a=b:1 a=c:2
        used += 1
    return used, "{" + ",".join(parts) + "}" if parts[1:] else value


def _is_value(word: str, names: Collection[str]) -> bool:
    """Say whether a word can be the value of the one before it."""
    key = word.partition(":")[0]
    starts = _KEY.fullmatch(key) and (key in names or (names and "." in key))
    dashed = word.startswith(tuple(_DASHES)) and not _NUMBER.fullmatch(word)
    return not ("=" in word or word.startswith("~") or dashed or starts)


def _depth(text: str) -> int:
    """Return how many brackets are open at the end of a text."""
    return sum((sign in "[{(") - (sign in ")}]") for sign in text)


def flags() -> dict[str, bool]:
    """Return Hydra's flags, and of each whether a value follows."""
    actions = get_args_parser()._actions
    return {name: action.nargs != 0 for action in actions for name in action.option_strings}
