"""How a check says what it saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from her_exp.envs.doctor.episodes import MissingInfo
from her_exp.system.foreign import Left, foreign_code, message_of
from her_exp.text import one_line, shortened
from her_exp.types import EnvFailed

Level = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: Level  #: error: relabelling would go wrong; warning: something to know or to gain
    what: str  #: a word or three: what was looked at
    says: str  #: what was seen and, if it is not as it should be, what to change


class Findings(list[Finding]):
    """Findings in the order in which they were made."""

    def ok(self, what: str, says: str) -> None:
        """Note that all is well."""
        self.append(Finding("ok", what, says))

    def warning(self, what: str, says: str) -> None:
        """Note something to know, or to gain from."""
        self.append(Finding("warning", what, says))

    def error(self, what: str, says: str) -> None:
        """Note something that has to be changed."""
        self.append(Finding("error", what, says))

    def guarded(self, what: str, look: Callable[[], Any]) -> bool:
        """Take a look; what it raises becomes an error. False: it raised, or returned False."""
        try:
            with foreign_code():
                return look() is not False
        except (MissingInfo, EnvFailed) as error:
            self.error(what, str(error))
        except Exception as error:
            self.error(what, f"raises {words_of(error)}")
        return False


def words_of(error: BaseException) -> str:
    """Name an error with the first line of its message."""
    lines, ours = message_of(error).strip().splitlines(), isinstance(error, Left)
    first = one_line(shortened(lines[0], 200)) if lines else ""
    return first if ours else f"{type(error).__name__}: {first}" if first else type(error).__name__
