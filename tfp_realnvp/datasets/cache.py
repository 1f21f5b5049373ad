"""Decoded arrays on disk, so that only the first load of a data set is slow."""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp.datasets.base import DatasetError, StoredArrays, expanded, note
from tfp_realnvp.datasets.npy import stored_in_zip, write_zip

_FOLDER = "tfp_realnvp"
# Part of every key: raise it when what is stored, or how it is decoded, changes.
_FORMAT = 2
_STALE_SECONDS = 24 * 3600
# The most characters of a name that go into an entry's: file names have at most 255 bytes.
_LABEL_LENGTH = 40
_NO_LABELS = np.empty(0, np.int64)


def cache_root(data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder to keep decoded arrays in.

    A folder that another user owns, or that others may write to, is passed over: arrays from
    it would be the others' choice.

    Args:
        data_dir: The user's data folder, which is taken if it may be written to.

    Returns:
        A folder inside `data_dir`, else inside `$TFDS_DATA_DIR`, `$XDG_CACHE_HOME`,
        `~/.cache` or the system's temporary folder, whichever is the first to be writable;
        where even the last is not the user's own, a new one that goes with the process.
    """
    candidates = [
        data_dir,
        os.environ.get("TFDS_DATA_DIR"),
        os.environ.get("XDG_CACHE_HOME"),
        "~/.cache",
    ]
    for candidate in candidates:
        if candidate:
            with contextlib.suppress(DatasetError):  # there is no home folder
                folder = expanded(candidate)
                if is_writable(folder) and _is_own(folder / _FOLDER):
                    return folder / _FOLDER
    root = Path(tempfile.gettempdir()) / f"{_FOLDER}-{os.getuid() if hasattr(os, 'getuid') else 0}"
    if _is_own(root):
        return root
    note(
        f"The cache folder {root} is not used, for it belongs to another user or others may write "
        "to it: XDG_CACHE_HOME can name one that lasts."
    )
    return Path(_passing_root().name)


@functools.cache
def _passing_root() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=f"{_FOLDER}-")


def is_writable(folder: Path) -> bool:
    """Whether files may be put into a folder, found out without trying.

    The mode is asked as well as the system, which lets an administrator write into folders
    that were marked read-only on purpose. One that is not there yet counts by its nearest parent.
    """
    folder = folder.absolute()
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
    except PermissionError:  # a parent may not even be looked into
        return False
    return folder.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def _is_own(root: Path) -> bool:
    """Whether a folder is the user's alone to write to, or not there yet."""
    if not hasattr(os, "getuid") or not os.path.lexists(root):
        return True
    # Of a link, both it and what it leads to.
    owners = {root.lstat().st_uid, root.stat().st_uid} if root.exists() else {None}
    return owners == {os.getuid()} and root.is_dir() and not root.stat().st_mode & 0o022


def file_identity(path: Path) -> list[Any]:
    """What changes when a file does: its place, size in bytes and time in nanoseconds."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def cached(
    split: str,
    build: Callable[[Path], tuple[Mapping[str, StoredArrays], Sequence[str]]],
    *,
    root: Path,
    name: str,
    label: str,
    identity: Any,
) -> StoredArrays:
    """One split of a data set, from the cache if it is there, else built and kept there.

    What is built appears in the cache by one rename: another process sees all of it or
    nothing, and of two that build at once one wins and the other's copy is dropped. What was
    damaged since does not pass its checksums, and is built anew.

    Args:
        split: The split to hand back.
        build: `build(scratch)` makes all splits, and what every load has to say of them;
            `scratch` is an empty folder to work in, where they may be stored.
        root: Folder of the cache.
        name: What the user called the data set, to say it of.
        label: A readable beginning for the entry's name.
        identity: What the arrays depend on, as JSON can hold it.

    Returns:
        Examples [N, ...], unread, and labels [N] or None.

    Raises:
        KeyError: The data set has no such split.
    """
    digest = hashlib.sha256(json.dumps([_FORMAT, identity]).encode()).hexdigest()[:16]
    label = label[:_LABEL_LENGTH]
    entry = root / f"{label}-{digest}"
    found = _read(entry / f"{split}.npz")
    if found is None:
        shutil.rmtree(entry, ignore_errors=True)  # damaged, if there at all
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(root)
        with tempfile.TemporaryDirectory(prefix=f".{label}-", dir=root) as folder:
            scratch = Path(folder)
            arrays, notes = build(scratch)
            # A cache that cannot be written costs time, and not the data.
            with contextlib.suppress(OSError):
                _write(scratch / "ready", arrays, notes)
                (scratch / "ready").rename(entry)
        found = _read(entry / f"{split}.npz") or (arrays[split], notes)
    pair, notes = found
    for text in notes:
        note(f"{name}: {text}.")
    return pair


def _write(folder: Path, arrays: Mapping[str, StoredArrays], notes: Sequence[str]) -> None:
    folder.mkdir()
    said = np.array(notes, np.str_)
    for split, (x, labels) in arrays.items():
        # The same keys always, so that one that is lost is missed.
        kept = {"x": x, "labels": _NO_LABELS if labels is None else labels, "notes": said}
        write_zip(folder / f"{split}.npz", kept)


def _read(file: Path) -> tuple[StoredArrays, Sequence[str]] | None:
    """What `_write` wrote, if it is there and undamaged: a zip has a checksum of each array."""
    try:
        x = stored_in_zip(file, "x")
        with np.load(file, allow_pickle=False) as arrays:
            labels, notes = arrays["labels"], arrays["notes"]
    except Exception:  # zipfile and NumPy raise errors of many kinds
        return None
    if x is None:
        return None
    return (x, labels if len(labels) else None), notes.tolist()


def _sweep(root: Path) -> None:
    """Removes what killed processes left behind."""
    for left in root.glob(".*-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
