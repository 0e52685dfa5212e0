"""`key=value` arguments of the small commands, typed by their defaults."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from her_exp.config.overrides import given_twice
from her_exp.config.slips import is_alone, refuse_slips
from her_exp.system.foreign import Left, foreign_code
from her_exp.text import tell_error, unknown_key
from her_exp.types import UserError


def parse(
    argv: Sequence[str], defaults: Mapping[str, Any], folder: str | None = None
) -> dict[str, Any]:
    """Return `defaults` overridden by `key=value` arguments.

    A value gets the type of its default; where that is None, it stays text. A word without a key is
    the value of `folder`; several are written as the list of them.

    Raises:
        UserError: an unknown key, or a value of the wrong type.
    """
    refuse_slips(argv, defaults, lambda words: parse(words, defaults, folder))
    alone = [word for word in argv if folder and is_alone(word) and not word.startswith("-")]
    if alone:
        value = alone[0] if len(alone) == 1 else f"[{','.join(alone)}]"
        argv = [*(word for word in argv if word not in alone), f"{folder}={value}"]
    if twice := given_twice(argv):
        raise UserError(f"{twice[0]}; give it once")
    values = dict(defaults)
    for argument in argv:
        key, equals, text = argument.partition("=")
        if not equals:
            raise UserError(f"{argument}: write key=value; the keys are {', '.join(defaults)}")
        if key not in defaults:
            raise UserError(f"{unknown_key(key, defaults).split(': ')[0]}; the keys are "
                            f"{', '.join(defaults)}")  # fmt: skip
        values[key] = _read(key, text, defaults[key])
    return values


def _read(key: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise UserError(f"{key}={text}: give true or false")
        return text.lower() == "true"
    if isinstance(default, float):
        try:
            return float(text)
        except ValueError:
            raise UserError(f"{key}={text}: give a number") from None
    if isinstance(default, int):
        try:
            return int(text)
        except ValueError:
            raise UserError(f"{key}={text}: give a whole number") from None
    return text


def run(command: Callable[[Sequence[str]], int], usage: str) -> NoReturn:
    """Run a command on the process's arguments; a UserError becomes one line, without a traceback."""
    if any(argument in ("-h", "--help") for argument in sys.argv[1:]):
        print(usage.strip())
        sys.exit(0)
    try:
        with foreign_code():
            status = command(sys.argv[1:])
        sys.exit(status)
    except BrokenPipeError:  # whoever read the output (`| head -1`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        sys.exit(128 + signal.SIGPIPE)
    except (UserError, Left, OSError) as error:  # OSError: a folder that cannot be written to
        for line in str(error).splitlines():
            tell_error(line)
        sys.exit(2)
