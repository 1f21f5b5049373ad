"""Decoded arrays on disk, so that only the first load of a data set is slow."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp.datasets.base import Arrays

_FOLDER = "tfp_realnvp"
# Part of every key: raise it when what is stored, or how it is decoded, changes.
_FORMAT = 1
_STALE_SECONDS = 24 * 3600


def cache_root(data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder to keep decoded arrays in.

    Args:
        data_dir: The user's data folder, which is taken if it may be written to.

    Returns:
        A folder inside `data_dir`, else inside `$TFDS_DATA_DIR`, `$XDG_CACHE_HOME`,
        `~/.cache` or the system's temporary folder, whichever is the first to be writable.
    """
    candidates = [
        data_dir,
        os.environ.get("TFDS_DATA_DIR"),
        os.environ.get("XDG_CACHE_HOME"),
        "~/.cache",
    ]
    for candidate in candidates:
        if candidate and is_writable(path := Path(candidate).expanduser()):
            return path / _FOLDER
    return Path(tempfile.gettempdir()) / f"{_FOLDER}-{os.getuid() if hasattr(os, 'getuid') else 0}"


def is_writable(folder: Path) -> bool:
    """Whether files may be put into a folder, found out without trying.

    The mode is asked as well as the system, which lets an administrator write into folders
    that were marked read-only on purpose.

    Args:
        folder: The folder; one that is not there yet counts by its nearest parent.
    """
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def file_identity(path: Path) -> list[Any]:
    """What changes when a file does: its place, size in bytes and time in nanoseconds.

    Args:
        path: The file.
    """
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def cached(
    split: str,
    build: Callable[[Path], Mapping[str, Arrays]],
    *,
    root: Path,
    label: str,
    identity: Any,
) -> Arrays:
    """One split of a data set, from the cache if it is there, else built and kept there.

    What is built appears in the cache by one rename: another process sees all of it or
    nothing, and of two that build at once one wins and the other's copy is dropped.

    Args:
        split: The split to hand back.
        build: `build(scratch)` makes all splits; `scratch` is an empty folder to work in.
        root: Folder of the cache.
        label: A readable beginning for the entry's name.
        identity: What the arrays depend on, as JSON can hold it.

    Returns:
        Examples [N, ...] and labels [N] or None.

    Raises:
        KeyError: The data set has no such split.
    """
    digest = hashlib.sha256(json.dumps([_FORMAT, identity]).encode()).hexdigest()[:16]
    entry = root / f"{label}-{digest}"
    if entry.is_dir():
        with contextlib.suppress(OSError, ValueError, EOFError):
            return _read(entry, split)
        shutil.rmtree(entry, ignore_errors=True)  # damaged, by a full disk for instance
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    with tempfile.TemporaryDirectory(prefix=f".{label}-", dir=root) as folder:
        scratch = Path(folder)
        arrays = build(scratch)
        # A cache that cannot be written costs time, and not the data.
        with contextlib.suppress(OSError):
            _write(scratch / "ready", arrays)
            (scratch / "ready").rename(entry)
    return arrays[split]


def _write(folder: Path, arrays: Mapping[str, Arrays]) -> None:
    folder.mkdir()
    (folder / "splits.json").write_text(
        json.dumps({split: labels is not None for split, (_, labels) in arrays.items()})
    )
    for split, (x, labels) in arrays.items():
        np.save(folder / f"{split}_x.npy", x)
        if labels is not None:
            np.save(folder / f"{split}_labels.npy", labels)


def _read(entry: Path, split: str) -> Arrays:
    labelled = json.loads((entry / "splits.json").read_text())[split]
    x = np.load(entry / f"{split}_x.npy")
    return x, np.load(entry / f"{split}_labels.npy") if labelled else None


def _sweep(root: Path) -> None:
    """Removes what killed processes left behind."""
    for left in root.glob(".*-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
