"""Flows on disk: `.keras` files and run directories, back into Python."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from tfp_realnvp.core import arguments
from tfp_realnvp.core.archives import check_members
from tfp_realnvp.core.files import replacing
from tfp_realnvp.flow import Flow
from tfp_realnvp.training.allowance import TooLargeError, allowed
from tfp_realnvp.training.model import FlowModel

BEST = "best.keras"
# An example of a quarter of a gigabyte; a training step holds hundreds of times as much.
MOST_NUMBERS = 2**26
# What Keras calls the parts of a saved model.
_CONFIG, _WEIGHTS = "config.json", ("model.weights.h5", "model.weights.npz")


class _RefusedError(ValueError):
    """A file that is not unpacked."""


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

    A file is asked what it holds before anything is built: a configuration that wants more weights
    than there are in the file is refused, and so is an event of more than 67 million numbers. None
    of it is run: a file with a Python function in it is refused by Keras' safe mode, and one with
    paths that lead out of it or with links by name.

    Args:
        path: a `.keras` file; a run directory, for its best weights; the directory that
            `keras.saving.save_model(..., zipped=False)` writes; or `hf://USER/MODEL`, such a
            directory on the Hugging Face Hub.

    Returns:
        The flow, with the very weights that were saved.

    Raises:
        FileNotFoundError: there is nothing at the path, or no flow in the directory.
        ValueError: the file is damaged or holds something else, asks for more than it holds, needs
            a class that has not been imported, or holds code, links or paths that lead out of it.
        OSError: the file cannot be read.
        ImportError: a path on the Hugging Face Hub without the package huggingface_hub.
    """
    if os.fspath(path).startswith("hf://"):
        path = _from_hub(os.fspath(path))
    path = Path(path)
    if path.is_dir() and not _is_keras_directory(path):
        if not (path / BEST).exists():
            raise FileNotFoundError(
                f"{path} is no run directory with a trained flow: it has no {BEST}."
            )
        path = path / BEST
    if not path.exists():
        raise FileNotFoundError(f"There is no file or run directory {path}.")
    no_flow = f"{path} is damaged or is no flow saved as a .keras file"
    try:
        text, held = _read(path)
        config = json.loads(text)
        missing = sorted(set(_missing_classes(config)))
    except PermissionError:
        raise
    except _RefusedError as error:
        raise ValueError(f"{path} is not opened: {error}.") from error
    except Exception as error:  # whatever the damage happens to cause
        raise ValueError(f"{no_flow}.") from error
    if missing:
        raise ValueError(
            f"{path} needs {' and '.join(missing)}: import what defines it and registers it with "
            "Keras first."
        )
    try:
        if not issubclass(_class(config), FlowModel):
            raise TypeError(f"it holds a {config['class_name']}")
        shape = config["config"]["dist"]["event_shape"]
        size = math.prod(arguments.event_shape(shape))
    except Exception as error:
        raise ValueError(f"{no_flow}.") from error
    try:
        if size > MOST_NUMBERS:
            raise TooLargeError(f"an event of shape {tuple(shape)} has too many numbers")
        with allowed(held // 2):  # two bytes each, or four or eight
            return keras.saving.load_model(path, compile=False, safe_mode=True).dist
    except TooLargeError as error:
        raise ValueError(
            f"{path} asks for more than its {held:,} bytes of weights can hold: {error}."
        ) from error
    except Exception as error:
        # Keras puts a page before what has happened.
        lines = str(error).rpartition("Exception encountered: ")[2].strip().splitlines()
        raise ValueError(f"{no_flow}: {lines[0] if lines else type(error).__name__}") from error


def _is_keras_directory(path: Path) -> bool:
    # A run directory has a config.json as well.
    return (path / _CONFIG).is_file() and any((path / name).is_file() for name in _WEIGHTS)


def _from_hub(handle: str) -> Path:
    from keras.src.saving import saving_lib

    hub = saving_lib.huggingface_hub  # None where it is not installed
    if hub is None:
        raise ImportError(f"{handle} needs the package huggingface_hub: pip install it first.")
    return Path(
        hub.snapshot_download(
            repo_id=handle.removeprefix("hf://"),
            library_name="keras",
            library_version=keras.__version__,
        )
    )


def _read(path: Path) -> tuple[bytes, int]:
    """Returns the configuration of a saved model, and how many bytes of weights come with it."""
    if path.is_dir():
        held = next(path / name for name in _WEIGHTS if (path / name).is_file())
        return (path / _CONFIG).read_bytes(), held.stat().st_size
    with zipfile.ZipFile(path) as archive:
        try:
            check_members(archive)
        except ValueError as error:
            raise _RefusedError(str(error)) from error
        weights = next(name for name in _WEIGHTS if name in archive.namelist())
        with archive.open(_CONFIG) as config:
            return config.read(_size(archive.getinfo(_CONFIG))), _size(archive.getinfo(weights))


def _size(member: zipfile.ZipInfo) -> int:
    # Keras does not compress, and what is compressed for its sake shrinks less than this.
    return min(member.file_size, 100 * member.compress_size)


def _class(config: dict[str, Any]) -> Any:
    name = config["registered_name"] or config["class_name"]
    return keras.saving.get_registered_object(name)


def _missing_classes(config: Any) -> Iterator[str]:
    """Yields the classes in a configuration that are neither Keras' own nor registered."""
    if isinstance(config, list):
        for entry in config:
            yield from _missing_classes(entry)
    elif isinstance(config, dict):
        module = str(config.get("module") or "")  # None of a class of a script
        custom = config.get("registered_name") is not None and module.split(".")[0] != "keras"
        if custom and "class_name" in config and _class(config) is None:
            yield f"the class {config['class_name']}" + (f" of {module}" if module else "")
        for entry in config.values():
            yield from _missing_classes(entry)
