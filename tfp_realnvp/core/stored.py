"""Rows that stay where they are stored until they are asked for."""

from __future__ import annotations

import errno
import itertools
import math
import os
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

# Rows of so many bytes are read into memory at once, unless told otherwise.
IN_MEMORY = 2_000_000_000
# What a look at more than that has in memory at a time.
BYTES_AT_ONCE = 2**26


class StoredRows:
    """An array `[N, ...]` of which rows are read when they are asked for.

    It is indexed as an array is, by a number, a slice or an array of numbers of rows, or of bools,
    and gives NumPy arrays; `np.asarray` reads all of it.

    Args:
        read: gives rows `[M, ...]` by their numbers, int64 `[M]`; it may be called from several
            threads.
        shape: `(N, ...)`.
        dtype: of the values.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.core.stored import StoredRows
        >>> squares = StoredRows(lambda rows: rows[:, None] ** 2, (10**9, 1), np.int64)
        >>> squares[[3, 999_999_999]].tolist()
        [[9], [999999998000000001]]
    """

    def __init__(
        self, read: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], dtype: Any
    ) -> None:
        self._read = read
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all rows in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            return self._read(np.arange(*rows.indices(len(self))))
        numbers = np.asarray(rows)
        numbers = np.flatnonzero(numbers) if numbers.dtype == bool else numbers.astype(np.int64)
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(self)):
            raise IndexError(f"There are {len(self)} rows, got the numbers {rows}.")
        return self._read(numbers) if numbers.ndim else self._read(numbers[None])[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def take(self, rows: np.ndarray) -> StoredRows:
        """Returns some of the rows, by their numbers, likewise unread."""
        shape = (len(rows), *self.shape[1:])
        return StoredRows(lambda numbers: self._read(rows[numbers]), shape, self.dtype)

    def changed(
        self,
        change: Callable[[np.ndarray, np.ndarray], np.ndarray],
        event_shape: tuple[int, ...],
        dtype: Any,
    ) -> StoredRows:
        """Returns what a function makes of the rows, done each time that they are read.

        Args:
            change: of rows and their numbers, to rows of the shape and the dtype that follow.
            event_shape: of a row.
            dtype: of the values.
        """

        def read(numbers: np.ndarray) -> np.ndarray:
            if not len(numbers):
                return np.empty([0, *event_shape], dtype)
            return change(self._read(numbers), numbers)

        return StoredRows(read, (len(self), *event_shape), dtype)


#: Rows that are in memory, or are not.
Rows = np.ndarray | StoredRows


def rows_of_file(
    path: str | os.PathLike[str], *, offset: int, shape: tuple[int, ...], dtype: Any
) -> StoredRows:
    """Returns an array that lies in a file, row after row.

    It is read and not mapped: pages of a map that were read once count as the process' memory.

    Args:
        path: of the file, which stays open as long as the rows are there.
        offset: bytes before the first row.
        shape: `(N, ...)`.
        dtype: of the values.

    Raises:
        OSError: the file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY)
    dtype, event = np.dtype(dtype), tuple(shape[1:])
    size = math.prod(event) * dtype.itemsize

    def read(numbers: np.ndarray) -> np.ndarray:
        rows = np.empty([len(numbers), *event], dtype)
        if not rows.size:
            return rows
        bytes_of_rows = rows.reshape(len(rows), -1).view(np.uint8)
        # Rows that follow each other in the file are read at once.
        starts = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1), len(numbers)]
        for start, stop in itertools.pairwise(starts):
            into = bytes_of_rows[start:stop].data.cast("B")
            place = offset + int(numbers[start]) * size
            while into:
                found = os.pread(descriptor, len(into), place)
                if not found:
                    raise OSError(errno.EIO, "it is shorter than it was", os.fspath(path))
                into[: len(found)] = found
                into, place = into[len(found) :], place + len(found)
        return rows

    weakref.finalize(read, os.close, descriptor)
    return StoredRows(read, shape, dtype)


def taken(x: Rows, rows: np.ndarray) -> Rows:
    """Returns some of the rows, by their numbers; of stored ones, unread."""
    return x.take(rows) if isinstance(x, StoredRows) else x[rows]


def loaded(x: Rows, *, memory: float = IN_MEMORY) -> Rows:
    """Returns rows in memory if they are no more bytes than that."""
    return np.asarray(x) if x.nbytes <= memory else x


def parts_of(x: Any) -> Iterator[Any]:
    """Yields all rows in order: those in memory at once, stored ones some at a time."""
    if not isinstance(x, StoredRows):
        yield x
        return
    step = max(1, BYTES_AT_ONCE * len(x) // max(1, x.nbytes))
    for start in range(0, len(x), step):
        yield x[start : start + step]


def in_graph(values: Any) -> Any:
    """Returns values as a tensor, but for stored rows, which `gather` reads."""
    import tensorflow as tf

    return values if isinstance(values, StoredRows) else tf.convert_to_tensor(values)


def gather(values: Any, rows: tf.Tensor) -> tf.Tensor:
    """Returns rows by their numbers, in a graph."""
    import tensorflow as tf

    if not isinstance(values, StoredRows):
        return tf.gather(values, rows)
    read = tf.numpy_function(values.__getitem__, [rows], values.dtype)
    return tf.ensure_shape(read, [*rows.shape, *values.shape[1:]])
