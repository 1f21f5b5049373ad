"""Flows on disk: `.keras` files and run directories, back into Python."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from tfp_realnvp.distribution import Flow
from tfp_realnvp.locks import folder_beside
from tfp_realnvp.model import FlowModel

BEST = "best.keras"


def save(dist: Flow, path: str | os.PathLike[str]) -> Path:
    """Saves a flow, architecture and weights, as a `.keras` file.

    Args:
        dist: a flow.
        path: a file whose name ends in `.keras`; replaced whole or not at all.

    Returns:
        The path.

    Raises:
        ValueError: another ending.
        OSError: the file cannot be written; nothing half-written is left.

    Example:
        >>> import tempfile, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("realnvp", (2,))
        >>> path = nvp.save(dist, tempfile.mkdtemp() + "/flow.keras")
        >>> bool((nvp.load(path).log_prob([[0.0, 1.0]]) == dist.log_prob([[0.0, 1.0]])).numpy())
        True
    """
    return save_model(FlowModel(dist), path)


def save_model(model: FlowModel, path: str | os.PathLike[str]) -> Path:
    """Saves a model, optimizer included, as a `.keras` file; see `save`."""
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"A flow is saved to a file that ends in .keras, got {path.name}.")
    with replacing(path) as temporary:
        model.save(temporary)
    return path


def load(path: str | os.PathLike[str]) -> Flow:
    """Loads a flow.

    Args:
        path: a `.keras` file, or a run directory (its best weights).

    Returns:
        The flow, with the very weights that were saved.

    Raises:
        FileNotFoundError: there is nothing at the path, or no flow in the directory.
        ValueError: the file is damaged or holds something else.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / BEST).exists():
            raise FileNotFoundError(
                f"{path} is no run directory with a trained flow: it has no {BEST}."
            )
        path = path / BEST
    if not path.exists():
        raise FileNotFoundError(f"There is no file or run directory {path}.")
    model: Any = None
    if zipfile.is_zipfile(path):
        # Keras raises whatever the damage happens to cause.
        with contextlib.suppress(Exception):
            model = keras.models.load_model(path, compile=False)
    if not isinstance(model, FlowModel):
        raise ValueError(f"{path} is damaged or is no flow saved as a .keras file.")
    return model.dist


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
