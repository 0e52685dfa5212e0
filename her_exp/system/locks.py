"""Files that are locks: freed by whatever ends the process that holds them, kill -9 too."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path
from typing import IO

#: The locks of this process. A fork would share them, and hold them when this process has ended.
_locks: weakref.WeakSet[IO[str]] = weakref.WeakSet()


def take_lock(path: Path) -> IO[str] | None:
    """Lock a file for this process alone; None where another one has it.

    Closing what is returned gives the lock back, and so does whatever ends the process, kill -9 too.
    """
    file = path.open("w")
    _locks.add(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _let_go() -> None:
    for file in list(_locks):
        file.close()


os.register_at_fork(after_in_child=_let_go)
