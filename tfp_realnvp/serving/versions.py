"""Numbered versions of a model in a base directory, as TensorFlow Serving looks for them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

from tfp_realnvp.core import arguments
from tfp_realnvp.core.files import folder_beside, replacing

BATCHING = "batching_parameters.txt"
# For `tensorflow_model_server --enable_batching --batching_parameters_file`.
_BATCHING_TEXT = """\
max_batch_size { value: 64 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""
_NUMBER = re.compile("0|[1-9][0-9]{0,18}")


def versions_of(base: str | os.PathLike[str]) -> list[int]:
    """Returns the numbers of the versions in a base directory that hold a SavedModel, ascending.

    Args:
        base: directory of a model; one that is missing has no versions.
    """
    try:
        names = os.listdir(base)
    except (FileNotFoundError, NotADirectoryError):
        return []
    numbers = (int(name) for name in names if _NUMBER.fullmatch(name))
    return sorted(n for n in numbers if (Path(base) / str(n) / "saved_model.pb").is_file())


def new_version(base: str | os.PathLike[str], version: int | str) -> int:
    """Returns the number of a version that is to be published.

    Args:
        base: directory of a model.
        version: a number, or "next" for one more than the highest there, at first 1.

    Raises:
        ValueError: neither, or a number that is there.
    """
    # Whatever has a number counts, so that no version is ever overtaken by an older one.
    taken = [int(p.name) for p in Path(base).glob("*") if _NUMBER.fullmatch(p.name)]
    if version == "next":
        return max(taken, default=0) + 1
    if isinstance(version, str):
        raise ValueError(f'export needs version to be a whole number or "next", got {version!r}.')
    arguments.whole("export", "version", version, least=0, most=2**63 - 1)
    if version in taken:
        raise ValueError(f"{base} has a version {version} already.")
    return version


def write_batching(base: str | os.PathLike[str]) -> None:
    """Writes parameters of TensorFlow Serving's batching beside the versions, if there are none."""
    path = Path(base) / BATCHING
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(_BATCHING_TEXT)


def keep_latest(base: str | os.PathLike[str], keep: int) -> None:
    """Removes all but the highest versions; a reader finds each whole or not at all.

    Args:
        base: directory of a model.
        keep: how many stay.
    """
    for version in versions_of(base)[:-keep]:
        # By another process' hands it may be gone already.
        with contextlib.suppress(FileNotFoundError), folder_beside(Path(base) / "old") as folder:
            os.rename(Path(base) / str(version), folder / "old")
            shutil.rmtree(folder / "old", ignore_errors=True)
