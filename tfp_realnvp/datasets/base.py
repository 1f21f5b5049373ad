"""What every source of data shares: its description, its arrays, its errors."""

import os
import warnings
from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfp_realnvp.core.stored import Rows

SPLITS = ("train", "validation", "test")
"""The splits that there are; `splits` says which of them a data set has."""

PathLike = str | os.PathLike[str]

Arrays = tuple[np.ndarray, np.ndarray | None]
"""Examples `[N, ...]` and int64 labels `[N]`, or None in their place."""

StoredArrays = tuple[Rows, np.ndarray | None]
"""The same, of which the examples may still be where they are stored."""


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
        condition_shape: Shape of what each example comes with as its condition; None when there
            is none.

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
    condition_shape: tuple[int, ...] | None = None


class Source(AbstractContextManager):
    """One place that data comes from, open until the end of its `with` block.

    A source has `arrays`, or `rows` where they are read from files.

    What can be given to its constructor by keyword alone are the options that users may give.

    Args:
        name: What the user calls it.
        data_dir: The user's data folder, or None.
    """

    def __init__(self, name: str, data_dir: PathLike | None) -> None:
        self.name, self.data_dir = name, data_dir

    def __exit__(self, *_: object) -> None:
        """Closes what it holds open."""

    def arrays(self, split: str) -> Arrays:
        """Examples and labels of one of `SPLITS`, in memory."""
        x, labels = self.rows(split)
        return np.asarray(x), labels

    def rows(self, split: str) -> StoredArrays:
        """Examples and labels of one of `SPLITS`; the examples may outlive the `with` block."""
        return self.arrays(split)

    def condition(self, split: str) -> np.ndarray | None:
        """The conditions of the examples of a split, where they have any."""
        return None

    @abstractmethod
    def info(self) -> DatasetInfo:
        """What they are like, found out without reading them if it can be."""

    def splits(self) -> tuple[str, ...]:
        """Those of `SPLITS` that there are, in this order."""
        return SPLITS


def note(message: str) -> None:
    """Says in one sentence what was left out or changed; Python shows each such message once."""
    warnings.warn(DatasetWarning(_one_line(message)), stacklevel=1)


def check_integer(value: Any, name: str) -> None:
    """Refuses what is no integer, with its name."""
    if not isinstance(value, Integral):
        raise DatasetError(f"{name} must be an integer; got {value!r}.")


def expanded(path: PathLike) -> Path:
    """A path with the home folder in the place of `~`; refuses a user's who has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DatasetError(f"There is no home folder for the ~ in {os.fspath(path)}.") from error


def reason(error: Exception) -> str:
    """What a library's error says, to end a sentence with."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(" .") if lines else type(error).__name__


def check_split(split: str) -> None:
    """Refuses a split that is none of `SPLITS`."""
    if split not in SPLITS:
        raise DatasetError(f"There is no split {split!r}; the splits are {', '.join(SPLITS)}.")


def _one_line(message: str) -> str:
    """Names of files and columns may hold line breaks; a message does not."""
    return "\\n".join(message.splitlines())
