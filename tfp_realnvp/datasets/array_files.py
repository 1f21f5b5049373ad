"""`.npy` and `.npz` files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from tfp_realnvp.core.archives import check_members
from tfp_realnvp.core.stored import Rows, taken
from tfp_realnvp.datasets import npy
from tfp_realnvp.datasets.array_checks import (
    check_condition,
    check_labels,
    check_shape,
    checked_rows,
    condition_shape,
    count_classes,
    described,
    event_shape,
)
from tfp_realnvp.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetInfo,
    PathLike,
    Source,
    StoredArrays,
    note,
    reason,
)
from tfp_realnvp.datasets.splitting import cut_in_order, hold_out_last_tenth

SUFFIXES = (".npy", ".npz")

_ALIASES = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
_LABEL_KEYS = ("y", "labels", "label")
_LEVELS, _CONDITION = "levels", "condition"


class _Keys(NamedTuple):
    """Keys of the arrays of a split, or of all of them; None of what there is none."""

    x: str
    labels: str | None
    condition: str | None


class ArrayFile(Source):
    """The source of an array file.

    An `.npz` file has the keys `x_train`, `x_validation` (or `x_val`) and `x_test`, with
    `y_train` and so on for labels; or one array under any key, with labels under `y` or
    `labels`. Without `x_validation`, the last tenth of each class in `x_train` takes its
    place; without `x_test` there is no test split. What is given with the examples is under
    `condition_train` and so on, or `condition`. Labels and conditions count if every split has
    them. One array alone, as in a `.npy` file, is cut into the first 80, the next 10 and the last
    10 percent. The key `levels` says how many values a pixel takes; 256 if absent.
    """

    def __init__(self, path: Path, name: str, data_dir: PathLike | None) -> None:
        super().__init__(name, data_dir)
        self._path = path
        # A `.npy` file has one array, under the key `x`.
        with self._reading():
            self._arrays: Any = np.load(path, mmap_mode="r", allow_pickle=False)
            self._npz = isinstance(self._arrays, np.lib.npyio.NpzFile)
            if self._npz:
                check_members(self._arrays.zip)
        members = self._arrays.zip.namelist() if self._npz else ["x.npy"]
        self._keys = [member[:-4] for member in members if member.endswith(".npy")]
        # By split or, where all are cut out of the same arrays, under None.
        self._sets: dict[str | None, _Keys] = self._find_sets()
        self._labelled = all(keys.labels for keys in self._sets.values())
        xs = [keys.x for keys in self._sets.values()]
        shapes = {x: event_shape(*self._header(x), self._at(x)) for x in xs}
        self.event_shape = next(iter(shapes.values()))
        for key, shape in shapes.items():
            check_shape(shape, self.event_shape, self._at(key))
        self.condition_shape = self._find_condition_shape()
        read = {key for keys in self._sets.values() for key in keys}
        read |= {_LEVELS} if len(self.event_shape) > 1 else set()
        self._unread = [key for m in members if (key := m.removesuffix(".npy")) not in read]

    def __exit__(self, *_: object) -> None:
        if self._npz:
            self._arrays.close()

    def rows(self, split: str) -> StoredArrays:
        """See `Source.rows`; says what is in the file and is not used."""
        self._note_unread()
        rows, keys = self._rows(split), self._keys_of(split)
        where = f"The split {split!r} of {self.name}"
        if not len(rows):
            count = self._header(keys.x)[0][0]
            raise DatasetError(f"{where} has no examples: {self._at(keys.x)} holds {count}.")
        labels = self._labels(keys)
        x = checked_rows(taken(self._stored(keys.x), rows), where, levels=self._levels())
        return x, None if labels is None else labels[rows]

    def condition(self, split: str) -> np.ndarray | None:
        """See `Source.condition`."""
        key = self._keys_of(split).condition
        if key is None or self.condition_shape is None:
            return None
        return check_condition(
            self._read(key)[self._rows(split)], self.condition_shape, self._at(key)
        )

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        classes = [count_classes(self._labels(keys)) or 0 for keys in self._sets.values()]
        return described(
            self.name,
            self.event_shape,
            max(classes) or None,
            levels=self._levels(),
            condition_shape=self.condition_shape,
        )

    def splits(self) -> tuple[str, ...]:
        """See `Source.splits`."""
        here = [s for s in SPLITS if s != "test" or not self._named or s in self._sets]
        return tuple(split for split in here if len(self._rows(split)))

    def _note_unread(self) -> None:
        if self._unread:
            note(f"{self.name}: not read are {', '.join(map(repr, self._unread))}.")
        for what in ("labels", "condition"):
            without = [keys.x for keys in self._sets.values() if not getattr(keys, what)]
            if 0 < len(without) < len(self._sets):
                names = ", ".join(map(repr, without))
                verb = "is" if what == "condition" else "are"
                note(f"{self.name}: {what} {verb} not used, for {names} has none.")

    @property
    def _named(self) -> bool:
        """Whether the keys name splits."""
        return None not in self._sets

    def _find_sets(self) -> dict[str | None, _Keys]:
        named = {split: x for split in SPLITS if (x := self._find("x", split))}
        if "train" in named:
            return {
                split: _Keys(x, self._find("y", split), self._find(_CONDITION, split))
                for split, x in named.items()
            }
        labels = [key for key in self._keys if key in _LABEL_KEYS]
        rest = [key for key in self._keys if key not in (*_LABEL_KEYS, _LEVELS, _CONDITION)]
        if len(rest) != 1 or len(labels) > 1:
            raise DatasetError(
                f"{self.name} has the keys {', '.join(map(repr, self._keys)) or '(none)'}, where "
                "'x_train', 'x_test' and the like, or one array, with labels under 'y', were "
                "expected."
            )
        condition = _CONDITION if _CONDITION in self._keys else None
        return {None: _Keys(rest[0], labels[0] if labels else None, condition)}

    def _find_condition_shape(self) -> tuple[int, ...] | None:
        """Shape of the condition of one example, None where not every split has one."""
        shapes = {}
        for keys in self._sets.values():
            if keys.condition is None:
                return None
            where, count = self._at(keys.condition), self._header(keys.x)[0][0]
            header = self._header(keys.condition)
            shapes[where] = condition_shape(*header, count, self.event_shape, where)
        first = next(iter(shapes.values()))
        for where, shape in shapes.items():
            if shape != first:
                raise DatasetError(
                    f"{where} holds conditions of shape {list(shape)}, where the {list(first)} of "
                    "the others were expected."
                )
        return first

    def _find(self, prefix: str, split: str) -> str | None:
        keys = (f"{prefix}_{alias}" for alias in _ALIASES[split])
        return next((key for key in keys if key in self._keys), None)

    def _keys_of(self, split: str) -> _Keys:
        """Keys of the arrays that hold a split, be it with another one."""
        if not self._named:
            return self._sets[None]
        if split == "test" and split not in self._sets:
            raise DatasetError(f"{self.name} has no key 'x_test' beside 'x_train'.")
        return self._sets.get(split) or self._sets["train"]

    def _rows(self, split: str) -> np.ndarray:
        """Rows of a split in the arrays that hold it."""
        keys = self._keys_of(split)
        count = self._header(keys.x)[0][0]
        if not self._named:
            return cut_in_order(count)[split]
        if split == "test" or "validation" in self._sets:
            return np.arange(count)
        train, held = hold_out_last_tenth(self._labels(keys), count)
        return train if split == "train" else held

    def _labels(self, keys: _Keys) -> np.ndarray | None:
        if not keys.labels or not self._labelled:
            return None
        count, where = self._header(keys.x)[0][0], self._at(keys.labels)
        return check_labels(self._read(keys.labels), count, where)

    def _levels(self) -> int:
        """Number of values that a pixel takes."""
        if not self._npz or _LEVELS not in self._keys or len(self.event_shape) == 1:
            return 256
        levels = self._read(_LEVELS)
        if levels.size != 1 or levels.dtype.kind not in "iu" or not 2 <= levels.item() <= 256:
            came = levels.tolist() if levels.size == 1 else f"an array of shape {levels.shape}"
            raise DatasetError(
                f"{self._at(_LEVELS)} holds {came}, where an integer in 2..256 was expected."
            )
        return int(levels.item())

    def _header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of an array, without reading its values."""
        if not self._npz:
            return self._arrays.shape, self._arrays.dtype
        stream: IO[bytes]
        with self._reading(key), self._arrays.zip.open(f"{key}.npy") as stream:
            shape, _, dtype = npy.read_header(stream)
            held = self._arrays.zip.getinfo(f"{key}.npy").file_size - stream.tell()
            if not dtype.hasobject and math.prod(shape) * dtype.itemsize != held:
                raise ValueError(
                    f"its shape {list(shape)} is not that of the {held} bytes it holds"
                )
        return shape, dtype

    def _stored(self, key: str) -> Rows:
        """An array, unread if it can be read row by row."""
        with self._reading(key):
            found = npy.stored_in_zip(self._path, key) if self._npz else npy.stored(self._path)
        return self._read(key) if found is None else found

    def _read(self, key: str) -> np.ndarray:
        with self._reading(key):
            return self._arrays[key] if self._npz else self._arrays

    def _at(self, key: str) -> str:
        return f"{key!r} in {self.name}" if self._npz else self.name

    @contextmanager
    def _reading(self, key: str | None = None) -> Iterator[None]:
        """Refuses damaged files, which make zipfile and NumPy raise errors of many kinds."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system's own, which names the file
            said = ("pickle", "Object arrays", "Python objects")
            objects = any(words in str(error) for words in said)
            why = (
                "it holds Python objects, where numbers were expected" if objects else reason(error)
            )
            where = self._at(key) if key else self.name
            raise DatasetError(f"{where} cannot be read as arrays: {why}.") from error
