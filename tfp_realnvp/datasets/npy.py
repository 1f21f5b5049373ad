"""Arrays in NumPy's own files, read row by row, and written without being in memory whole."""

from __future__ import annotations

import math
import os
import struct
import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from tfp_realnvp.core.stored import Rows, StoredRows, parts_of, rows_of_file

# Of a zip's local header: where the lengths of its two last fields are, and where these begin.
_LENGTHS, _FIXED = 26, 30
_CHUNK = 2**24


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Returns shape, Fortran order and dtype of an array, and leaves the file at its values.

    Raises:
        ValueError: the file holds no array.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def stored(path: Path) -> StoredRows | None:
    """Returns the array of a `.npy` file, unread; None if its rows do not lie one after another."""
    with path.open("rb") as file:
        return _rows_from(path, file)


def stored_in_zip(path: Path, key: str) -> StoredRows | None:
    """Returns an array of an `.npz` file, unread; None if it is compressed, or see `stored`.

    Raises:
        zipfile.BadZipFile: its checksum is another.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = archive.getinfo(f"{key}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        with archive.open(member) as content:
            while content.read(_CHUNK):  # to the end, where zipfile compares checksums
                pass
        file.seek(member.header_offset + _LENGTHS)
        file.seek(member.header_offset + _FIXED + sum(struct.unpack("<HH", file.read(4))))
        return _rows_from(path, file)


def _rows_from(path: Path, file: IO[bytes]) -> StoredRows | None:
    shape, by_columns, dtype = read_header(file)
    if dtype.hasobject or not shape or (by_columns and len(shape) > 1):
        return None
    return rows_of_file(path, offset=file.tell(), shape=shape, dtype=dtype)


def write_zip(path: Path, arrays: Mapping[str, Rows]) -> None:
    """Writes arrays as `np.savez` does, stored ones part by part."""
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                header = {
                    "shape": array.shape,
                    "fortran_order": False,
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                }
                np.lib.format.write_array_header_2_0(file, header)
                for part in parts_of(array):
                    file.write(np.ascontiguousarray(part).data)


class Spool:
    """A new file that rows are put into in any order, from several threads, and read from again.

    Args:
        path: where to make it.
        shape: `(N, ...)`.
        dtype: of the values.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        weakref.finalize(self, os.close, self._descriptor)
        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        self._size = math.prod(shape[1:]) * self._dtype.itemsize

    def __setitem__(self, row: int, values: np.ndarray) -> None:
        """Puts a row, or several from there on, into its place."""
        left = np.ascontiguousarray(values, self._dtype).data.cast("B")
        place = row * self._size
        while left:
            count = os.pwrite(self._descriptor, left, place)
            left, place = left[count:], place + count

    def rows(self) -> StoredRows:
        """Returns what it holds."""
        return rows_of_file(self._path, offset=0, shape=self._shape, dtype=self._dtype)
