"""Files that are locks: freed by whatever ends the process that holds them, kill -9 too."""

from __future__ import annotations

import fcntl
import os
import stat
import weakref
from pathlib import Path
from typing import IO

#: The locks of this process. A fork would share them, and hold them when this process has ended.
_locks: weakref.WeakSet[IO[str]] = weakref.WeakSet()


def take_lock(path: Path, shared: bool = False) -> IO[str] | None:
    """Lock a file for this process alone, or for all that share it; None where another one has it.

    Closing what is returned gives the lock back. What the file holds stays, and a link is not followed.

    Raises:
        OSError: it cannot be made, or is no regular file.
    """
    file = _open(path, os.O_RDWR | os.O_CREAT)
    _locks.add(file)
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def is_locked(path: Path) -> bool:
    """Say whether a process holds a lock; what is no lock is held by nobody."""
    try:
        file = _open(path, os.O_RDONLY)
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _open(path: Path, flags: int) -> IO[str]:
    # Not blocking: to open a pipe would be to wait.
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(number, "r+" if flags & os.O_RDWR else "r")


def _let_go() -> None:
    for file in list(_locks):
        file.close()


os.register_at_fork(after_in_child=_let_go)
