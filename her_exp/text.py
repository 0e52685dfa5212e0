"""Words of error lines: what was given, which name is near, what would be right."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from hydra._internal.grammar.utils import escape_special_characters

#: Characters of a message, at most: a stranger's may be megabytes.
LONGEST = 2000


def one_line(text: str) -> str:
    """Join the lines of a message, which may be a stranger's: printable, and not without end."""
    return printable(" ".join(shortened(text, LONGEST).split()))


def shortened(text: str, most: int) -> str:
    """Return a text of `most` characters, or a little more: what is cut is counted."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """Return a stranger's text without what moves a terminal's cursor."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def tell(line: str, stream: TextIO | None = None) -> None:
    """Print a line that may hold a stranger's words: printable, and in signs that the stream has."""
    stream = stream or sys.stdout
    known = stream.encoding or "utf-8"
    print(printable(line).encode(known, "replace").decode(known), file=stream)


def tell_error(line: str) -> None:
    """Print what a command cannot do."""
    tell(f"her_exp: error: {line}", sys.stderr)


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
