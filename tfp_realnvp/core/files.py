"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfp_realnvp.core.locks import try_lock

# `tempfile.mkdtemp` puts eight characters behind the prefix.
_WRITING = ".writing-"
_WRITING_NAME = re.compile(re.escape(_WRITING) + "[a-z0-9_]{8}")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path` that takes its place when the block succeeds.

    When the block fails, what was at `path` stays and nothing new is left. A link stays: what it
    leads to is replaced. Permissions are those of the file that was there.

    Raises:
        OSError: the file cannot be written, in one sentence; also where `path` is no regular file,
            such as a directory or a device.
    """
    path = Path(path)
    try:
        target = _regular_file(path)
        with folder_beside(target) as folder:
            # The name is kept: writers look at its ending.
            temporary = folder / path.name
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"Cannot write {path}: {reason}.") from error


def _regular_file(path: Path) -> Path:
    """Returns what a path leads to through links, which is a regular file or not there yet."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return Path(os.path.realpath(path))


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
