"""`.npy` and `.npz` files, and the checks on any array of examples."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from tfp_realnvp.datasets.base import SPLITS, Arrays, DatasetError, DatasetInfo, Source
from tfp_realnvp.datasets.splitting import cut_in_order, hold_out_last_tenth

SUFFIXES = frozenset({".npy", ".npz"})

_MAX_CHANNELS = 4
_ALIASES = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
_LABEL_KEYS = ("y", "labels", "label")


def source(name: str, path: Path) -> Source:
    """The source of an array file.

    An `.npz` file has the keys `x_train`, `x_validation` (or `x_val`) and `x_test`, with
    `y_train` and so on for labels; or one array under any key, with labels under `y` or
    `labels`. Without `x_validation`, the last tenth of each class in `x_train` takes its
    place. One array alone, as in a `.npy` file, is cut into the first 80, the next 10 and
    the last 10 percent. The key `levels` says how many values a pixel takes; 256 if absent.

    Args:
        name: What the user called it.
        path: The file.
    """

    def arrays(split: str, data_dir: str | os.PathLike[str] | None) -> Arrays:
        del data_dir
        return _read(name, path, split)

    def info(data_dir: str | os.PathLike[str] | None) -> DatasetInfo:
        del data_dir
        return _info(name, path)

    def splits(data_dir: str | os.PathLike[str] | None) -> tuple[str, ...]:
        del data_dir
        with _File(name, path) as file:
            return tuple(split for split in SPLITS if file.has(split) and len(file.rows(split)))

    return Source(arrays=arrays, info=info, splits=splits)


def check_examples(x: np.ndarray, name: str, *, levels: int = 256) -> np.ndarray:
    """Makes images uint8 [N, H, W, C] and vectors float32 [N, D], if they are that.

    Args:
        x: Images [N, H, W] or [N, H, W, C] of any type with integer values, or vectors [N, D].
        name: Where they come from, for the error.
        levels: Number of values that a pixel takes.

    Returns:
        The examples.

    Raises:
        DatasetError: Rank, type or values are wrong.
    """
    shape = event_shape(x.shape, x.dtype, name)
    if len(x) == 0:
        raise DatasetError(f"{name} holds no examples: its shape is {list(x.shape)}.")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise DatasetError(f"{name} holds values that are NaN or infinite.")
    if len(shape) == 1:
        return np.asarray(x, np.float32)
    if x.dtype.kind == "f" and (x != np.floor(x)).any():
        raise DatasetError(
            f"{name} holds images with fractions such as {x[x != np.floor(x)].flat[0]:g}; pixels "
            f"must be integers in 0..{levels - 1}."
        )
    low, high = x.min(), x.max()
    if low < 0 or high >= levels:
        raise DatasetError(
            f"{name} holds pixels in {low:g}..{high:g}, where 0..{levels - 1} were expected."
        )
    return np.asarray(x, np.uint8).reshape(len(x), *shape)


def check_labels(labels: Any, count: int, name: str) -> np.ndarray | None:
    """Makes labels int64 [N], if they are that.

    Args:
        labels: Labels, or None.
        count: Number of examples N.
        name: Where they come from, for the error.

    Returns:
        The labels, or None.

    Raises:
        DatasetError: There are too many or too few, or they are not integers from 0.
    """
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise DatasetError(
            f"{name} holds labels of shape {list(labels.shape)} for {count} examples."
        )
    if labels.dtype.kind not in "iuf" or (labels != np.floor(labels)).any() or labels.min() < 0:
        raise DatasetError(f"{name} holds labels that are not integers from 0.")
    return labels.astype(np.int64)


def event_shape(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> tuple[int, ...]:
    """Shape of one example, from an array's shape and type alone.

    Args:
        shape: The array's shape, the number of examples first.
        dtype: The array's type.
        name: Where it comes from, for the error.

    Returns:
        `(H, W, C)` or `(D,)`.

    Raises:
        DatasetError: It is no array of images or vectors.
    """
    if dtype.kind not in "biuf":
        raise DatasetError(f"{name} holds an array of type {dtype}, where numbers were expected.")
    if len(shape) == 2:
        return shape[1:]
    if len(shape) == 3:
        return (*shape[1:], 1)
    if len(shape) == 4 and shape[3] <= _MAX_CHANNELS:
        return shape[1:]
    raise DatasetError(
        f"{name} holds an array of shape {list(shape)}, where images [N, H, W] or [N, H, W, C] "
        f"with at most {_MAX_CHANNELS} channels, last, or vectors [N, D] were expected."
    )


def describe(
    name: str, x: np.ndarray, labels: np.ndarray | None, *, levels: int = 256
) -> DatasetInfo:
    """Describes arrays that are in memory.

    Args:
        name: What to call them.
        x: Examples [N, ...].
        labels: Labels [N], or None.
        levels: Number of values that a pixel takes.
    """
    classes = None if labels is None else int(labels.max()) + 1
    return _described(name, event_shape(x.shape, x.dtype, name), levels, classes)


def _described(
    name: str, shape: tuple[int, ...], levels: int, num_classes: int | None
) -> DatasetInfo:
    if len(shape) == 1:
        return DatasetInfo(name, shape, levels=None, num_classes=num_classes, kind="vector")
    return DatasetInfo(name, shape, levels=levels, num_classes=num_classes, kind="image")


def _read(name: str, path: Path, split: str) -> Arrays:
    with _File(name, path) as file:
        levels = file.levels()
        rows = file.rows(split)
        x, labels = file.examples(split), file.labels(split)
        x = check_examples(x[rows], f"The split {split!r} of {name}", levels=levels)
        return x, None if labels is None else labels[rows]


def _info(name: str, path: Path) -> DatasetInfo:
    with _File(name, path) as file:
        pairs = {file.keys_of(split)[1] for split in SPLITS if file.has(split)}
        tops = [file[labels].max() for _, labels in pairs if labels]
        classes = int(max(tops)) + 1 if tops else None
        return _described(name, file.event_shape, file.levels(), classes)


class _File:
    """The arrays of one file by key; a `.npy` file has one, under the key `x`."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._path = path
        try:
            self._arrays: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise self._unreadable(error) from error
        self._npz = isinstance(self._arrays, np.lib.npyio.NpzFile)
        self._keys = list(self._arrays.files) if self._npz else ["x"]
        self.event_shape = self._common_shape()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        if self._npz:
            self._arrays.close()

    def __getitem__(self, key: str) -> np.ndarray:
        try:
            return self._arrays[key] if self._npz else self._arrays
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise self._unreadable(error) from error

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of an array, without reading its values."""
        if not self._npz:
            return self._arrays.shape, self._arrays.dtype
        stream: IO[bytes]
        with zipfile.ZipFile(self._path) as archive, archive.open(f"{key}.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(stream)
        return shape, dtype

    def levels(self) -> int:
        """Number of values that a pixel takes."""
        levels = self[key] if (key := "levels") in self._keys and self._npz else np.array(256)
        if levels.size != 1 or levels.dtype.kind not in "iu" or not 2 <= levels.item() <= 256:
            raise DatasetError(
                f"The key 'levels' of {self._name} holds {levels.tolist()}, where an integer in "
                "2..256 was expected."
            )
        return int(levels.item())

    def rows(self, split: str) -> np.ndarray:
        """Rows of the split in the array that holds it."""
        given, (key, _) = self.keys_of(split)
        count = self.header(key)[0][0]
        if given:
            return np.arange(count)
        if self.has_splits():
            train, validation = hold_out_last_tenth(self.labels(split), count)
            return train if split == "train" else validation
        return cut_in_order(count)[split]

    def examples(self, split: str) -> np.ndarray:
        """The array that holds the split."""
        return self[self.keys_of(split)[1][0]]

    def labels(self, split: str) -> np.ndarray | None:
        """The labels of the array that holds the split."""
        key, labels = self.keys_of(split)[1]
        return check_labels(self[labels], self.header(key)[0][0], self._name) if labels else None

    def has_splits(self) -> bool:
        """Whether the keys name splits."""
        return self._find("x", "train") is not None

    def has(self, split: str) -> bool:
        """Whether `keys_of(split)` has an answer."""
        return split != "test" or not self.has_splits() or self._find("x", "test") is not None

    def keys_of(self, split: str) -> tuple[bool, tuple[str, str | None]]:
        """Keys of the examples and labels of a split, and whether they are that split alone."""
        if self.has_splits():
            if not self.has(split):
                raise DatasetError(f"{self._name} has no key 'x_{split}' beside 'x_train'.")
            given = self._find("x", split) is not None
            # Where validation is cut out of train, train is no longer its key alone.
            if split == "train":
                given = self._find("x", "validation") is not None
            held = split if self._find("x", split) else "train"
            return given, (self._find("x", held) or "", self._find("y", held))
        labels = [key for key in self._keys if key in _LABEL_KEYS]
        rest = [key for key in self._keys if key not in (*_LABEL_KEYS, "levels")]
        if len(rest) != 1 or len(labels) > 1:
            raise DatasetError(
                f"{self._name} has the keys {', '.join(map(repr, self._keys))}, where 'x_train', "
                "'x_test' and the like, or one array, with labels under 'y', were expected."
            )
        return False, (rest[0], labels[0] if labels else None)

    def _common_shape(self) -> tuple[int, ...]:
        """Shape of one example, which all splits agree on."""
        keys = dict.fromkeys(self.keys_of(split)[1][0] for split in SPLITS if self.has(split))
        shapes = {
            key: event_shape(
                *self.header(key), f"{key!r} in {self._name}" if self._npz else self._name
            )
            for key in keys
        }
        first, *others = shapes
        for key in others:
            if shapes[key] != shapes[first]:
                raise DatasetError(
                    f"{self._name} holds examples of shape {list(shapes[key])} under {key!r}, "
                    f"where the {list(shapes[first])} of {first!r} were expected."
                )
        return shapes[first]

    def _find(self, prefix: str, split: str) -> str | None:
        keys = (f"{prefix}_{alias}" for alias in _ALIASES[split])
        return next((key for key in keys if key in self._keys), None)

    def _unreadable(self, error: Exception) -> DatasetError:
        if "pickle" in str(error) or "Object arrays" in str(error):
            reason = "it holds Python objects, where numbers were expected"
        else:
            reason = str(error).splitlines()[0].rstrip(".") if str(error) else "it is damaged"
        return DatasetError(f"{self._name} cannot be read as arrays: {reason}.")
