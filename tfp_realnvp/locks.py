"""Locks on folders, which the kernel gives back when a process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LOCK = ".lock"
# `tempfile.mkdtemp` puts eight characters behind the prefix.
_WRITING = ".writing-"
_WRITING_NAME = re.compile(re.escape(_WRITING) + "[a-z0-9_]{8}")


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


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yields a new folder beside `path`, on its file system, that is removed after the block.

    What killed processes have left of such folders there is removed first; those of running
    processes are locked, and stay. Where the file system has no locks, all stay.

    Args:
        path: what the folder is for; parents are made.

    Raises:
        OSError: the folder cannot be made.
    """
    if path.parent.is_file():  # of which `mkdir` says that it exists
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{_WRITING}*"):
        if _WRITING_NAME.fullmatch(left.name):
            with contextlib.suppress(OSError):
                _remove_unless_locked(left)
    folder, handle = _locked_folder(path.parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _locked_folder(parent: Path) -> tuple[Path, int | None]:
    while True:  # another process may take a folder for a leftover before it is locked
        folder = Path(tempfile.mkdtemp(prefix=_WRITING, dir=parent))
        try:
            handle = try_lock(folder)
        except OSError:
            return folder, None
        if handle is not None:
            return folder, handle


def _remove_unless_locked(folder: Path) -> None:
    handle = try_lock(folder)
    if handle is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)
