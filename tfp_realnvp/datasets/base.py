"""What every source of data shares: its description, its arrays, its errors."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np

SPLITS = ("train", "validation", "test")
"""The splits that there are; `splits` says which of them a data set has."""

Arrays = tuple[np.ndarray, np.ndarray | None]
"""Examples `[N, ...]` and int64 labels `[N]`, or None in their place."""


class DatasetError(ValueError):
    """A data set that cannot be had as asked for; the message is one sentence on one line."""

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


class DatasetNotFoundError(DatasetError, FileNotFoundError):
    """Files that are needed are not there, and could not be fetched."""


class DatasetWarning(UserWarning):
    """Data that were had as asked for, but for what the message says was left out or changed."""


@dataclass(frozen=True)
class DatasetInfo:
    """What a flow must know about a data set before it sees any of it.

    Attributes:
        name: The name or path that it was asked for by.
        event_shape: Shape of one example, `(H, W, C)` or `(D,)`.
        levels: Number of values that a pixel takes, `0..levels-1`; None for vectors.
        num_classes: Number of labels; None when there are none.
        kind: `"image"` or `"vector"`.
        columns: Names of a vector's D components, where the data name them; else None.

    Example:
        >>> from tfp_realnvp import datasets
        >>> datasets.info("moons").event_shape, datasets.info("moons").kind
        ((2,), 'vector')
    """

    name: str
    event_shape: tuple[int, ...]
    levels: int | None
    num_classes: int | None
    kind: Literal["image", "vector"]
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Source:
    """One place that data comes from.

    Attributes:
        arrays: `arrays(split, data_dir, **options)` gives the examples and labels of a split.
        info: `info(data_dir, **options)` describes them, without reading them if it can.
        options: Names of the options that all of these take.
        splits: `splits(data_dir, **options)` says which splits there are, in the order of
            `SPLITS`, without reading them if it can.
    """

    arrays: Callable[..., Arrays]
    info: Callable[..., DatasetInfo]
    options: frozenset[str] = frozenset()
    splits: Callable[..., tuple[str, ...]] = lambda data_dir, **options: SPLITS


def note(message: str) -> None:
    """Says what was left out or changed; Python shows each such message once.

    Args:
        message: One sentence, with the counts.
    """
    warnings.warn(DatasetWarning(_one_line(message)), stacklevel=1)


def check_integer(value: Any, name: str) -> None:
    """Refuses what is no integer.

    Args:
        value: What came.
        name: What it is, for the error.

    Raises:
        DatasetError: It is no integer.
    """
    if not isinstance(value, Integral):
        raise DatasetError(f"{name} must be an integer; got {value!r}.")


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with the home folder in the place of `~`.

    Args:
        path: The path.

    Raises:
        DatasetError: The user that it names has none.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DatasetError(f"There is no home folder for the ~ in {os.fspath(path)}.") from error


def reason(error: Exception) -> str:
    """What a library's error says, to end a sentence with.

    Args:
        error: The error.
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(" .") if lines else type(error).__name__


def check_split(split: str) -> None:
    """Refuses a split that no data set has.

    Args:
        split: The name to check.

    Raises:
        DatasetError: It is none of `SPLITS`.
    """
    if split not in SPLITS:
        raise DatasetError(f"There is no split {split!r}; the splits are {', '.join(SPLITS)}.")


def _one_line(message: str) -> str:
    """Names of files and columns may hold line breaks; a message does not."""
    return "\\n".join(message.splitlines())
