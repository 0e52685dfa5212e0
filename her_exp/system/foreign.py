"""A stranger's code: what it raises ends a run and no more, and is told in one line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from her_exp.system.signals import Stopped
from her_exp.text import LONGEST, one_line, printable, shortened
from her_exp.types import UserError

_TRACE = 400  # lines of a traceback, at most: the last ones


def message_of(error: BaseException) -> str:
    """Return the message of an error; '' where a stranger's class cannot even say it."""
    try:
        return str(error)
    except Exception:
        return ""


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
    return "\n".join(printable(shortened(line, LONGEST)) for line in lines[-_TRACE:])
