"""Locks on folders, which the kernel gives back when a process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_LOCK = ".lock"


def try_lock(folder: Path) -> int | None:
    """Locks a folder, by a file in it, for the holder of the file descriptor that it returns.

    `release` gives the lock back, and so does the end of the process.

    Args:
        folder: an existing folder.

    Returns:
        A file descriptor, or None where another has the lock or has just removed the folder.

    Raises:
        OSError: the folder cannot be written to, or its file system has no locks.
    """
    path = folder / _LOCK
    try:
        # Over a network, only what is open for writing can be locked: no folder is.
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        release(folder, handle)
        raise
    os.close(handle)
    return None


def release(folder: Path, handle: int) -> None:
    """Gives a lock back that `try_lock` has returned."""
    (folder / _LOCK).unlink(missing_ok=True)
    os.close(handle)
