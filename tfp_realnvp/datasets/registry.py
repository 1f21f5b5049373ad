"""From a name or a path to data: `load` and its like, `info`, `splits`, `names`, `register`."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_realnvp.core.stored import IN_MEMORY, gather, loaded
from tfp_realnvp.datasets import array_files, tables, tfds_folder
from tfp_realnvp.datasets.array_checks import check_pair, check_shape, count_classes, described
from tfp_realnvp.datasets.base import (
    SPLITS,
    Arrays,
    DatasetError,
    DatasetInfo,
    DatasetNotFoundError,
    PathLike,
    Source,
    StoredArrays,
    check_split,
    expanded,
)
from tfp_realnvp.datasets.batches import as_elements
from tfp_realnvp.datasets.celeba import CelebA
from tfp_realnvp.datasets.digits import Digits
from tfp_realnvp.datasets.image_files import ImageFiles
from tfp_realnvp.datasets.selection import Selection
from tfp_realnvp.datasets.tfds_source import RECIPES, TfdsSet
from tfp_realnvp.datasets.toys import DRAWS, Toy

if TYPE_CHECKING:
    import tensorflow as tf

# What makes the source of a name, given that, the data folder and the options.
_SOURCES: dict[str, Callable[..., Source]] = {
    "digits": Digits,
    **dict.fromkeys(DRAWS, Toy),
    **dict.fromkeys(RECIPES, TfdsSet),
    "celeba": CelebA,
}

# Options of every data set, done by `Selection` where the source does not do them itself.
_CHOICES = {"classes", "image_size"}
_ZIP = ".zip"
_READ_AT_ONCE = 256
_PATHS = (
    "a folder or a zip of images, a folder that TFDS has prepared, or a .npy, .npz, .csv, .tsv or "
    ".parquet file"
)


def names() -> list[str]:
    """Names of the data sets that `load` knows, sorted.

    Returns:
        The embedded and downloadable sets, the toys, and those added by `register`.

    Example:
        >>> from tfp_realnvp import datasets
        >>> "digits" in datasets.names()
        True
    """
    return sorted(_SOURCES)


def register(
    name: str,
    arrays: Callable[[str, PathLike | None], StoredArrays],
    *,
    info: DatasetInfo | None = None,
    splits: Sequence[str] = SPLITS,
) -> None:
    """Adds a data set by name, or replaces one.

    Args:
        name: What to call it.
        arrays: `arrays(split, data_dir)` gives `(x, labels)`: uint8 images [N, H, W, C] or
            float32 vectors [N, D], and integer labels [N] or None. Examples that are past memory
            come as `StoredRows`.
        info: What it holds, which the arrays are checked against; found out from the training
            split, which is read for it, when None.
        splits: Those of `SPLITS` that `arrays` gives; `"train"` must be among them.

    Raises:
        DatasetError: `name` is empty, or `splits` are not as they must be.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp import datasets
        >>> datasets.register("zeros", lambda split, data_dir: (np.zeros([5, 2], "float32"), None))
        >>> datasets.info("zeros").event_shape
        (2,)
    """
    if not name:
        raise DatasetError("A data set needs a name that is not empty.")
    for split in splits:
        check_split(split)
    if "train" not in splits:
        raise DatasetError(f"The data set {name!r} needs a split 'train'; got {tuple(splits)}.")
    if info is not None and info.levels is not None and not 2 <= info.levels <= 256:
        raise DatasetError(f"{name!r} needs 2 to 256 levels, as uint8 holds; got {info.levels}.")
    given = tuple(split for split in SPLITS if split in splits)
    _SOURCES[name] = partial(_Registered, arrays, info, given)


@dataclass
class _Registered(Source):
    read: Callable[[str, PathLike | None], StoredArrays]
    known: DatasetInfo | None
    given: tuple[str, ...]
    name: str
    data_dir: PathLike | None

    def rows(self, split: str) -> StoredArrays:
        if split not in self.given:
            raise DatasetError(
                f"{self.name} has no split {split!r}; it has {', '.join(self.given)}."
            )
        where = f"The split {split!r} of {self.name}"
        x, labels = check_pair(self.read(split, self.data_dir), where, info=self.known)
        if split != "train":
            check_shape(x.shape[1:], self.info().event_shape, where)
        return x, labels

    def info(self) -> DatasetInfo:
        if self.known is not None:
            return self.known
        x, labels = self.rows("train")
        return described(self.name, x.shape[1:], count_classes(labels))

    def splits(self) -> tuple[str, ...]:
        return self.given


def load(
    name: PathLike, split: str = "train", data_dir: PathLike | None = None, **options: Any
) -> tf.data.Dataset:
    """Loads a split as an unbatched `tf.data.Dataset`, in a fixed order.

    Args:
        name: One of `names()`, or the path of a folder or zip of images, or of a `.npy`,
            `.npz`, `.csv`, `.tsv` or `.parquet` file; relative paths are also looked for under
            `data_dir`.
        split: `"train"`, `"validation"` or `"test"`.
        data_dir: Where downloaded data sets are kept; for MNIST and Fashion-MNIST also the
            place of the four original idx.gz files, there or in a folder of that name.
        **options: `classes=[0, 2]`: only these labels, numbered anew in this order. For images,
            `image_size=(H, W)`: crop to the centre, then resize. For folders and zips of images,
            `channels=1` or `3`: make all grey or all colour; `background="white"`, or another
            colour's name: lay transparent images on it. For the toys, `seed=S`: another draw.
            For `celeba`, `label="Smiling"`: whether a face has an attribute; `attributes=["Male",
            "Young"]`, or `"all"` 40: which of them it has, as its condition.

    Returns:
        A dataset of (uint8 image [H, W, C], int64 label), or of images or float32 vectors
        [D] alone where there are no labels. Where there are conditions, it is of
        (example, {"condition": ..., "labels": ...}), the latter if there are any.

    Raises:
        DatasetError: The name, the split, an option or the data are not as they must be.
        DatasetNotFoundError: The data are not there, and could not be downloaded.

    Example:
        >>> from tfp_realnvp import datasets
        >>> image, label = next(iter(datasets.load("digits")))
        >>> image.shape, int(label)
        (TensorShape([8, 8, 1]), 0)
    """
    import tensorflow as tf

    check_split(split)
    with _opened(name, data_dir, options) as source:
        (x, labels), condition = source.rows(split), source.condition(split)
    elements = as_elements(loaded(x), labels, condition)
    with tf.device("CPU"):
        if x.nbytes <= IN_MEMORY:
            return tf.data.Dataset.from_tensor_slices(elements)
        batches = tf.data.Dataset.range(len(x)).batch(_READ_AT_ONCE)
        return batches.map(
            lambda rows: tf.nest.map_structure(lambda part: gather(part, rows), elements)
        ).unbatch()


def load_arrays(
    name: PathLike, split: str = "train", data_dir: PathLike | None = None, **options: Any
) -> Arrays:
    """Loads a split into memory, in the order of `load`, whose arguments it takes.

    Returns:
        uint8 images [N, H, W, C] or float32 vectors [N, D], and int64 labels [N] or None.

    Raises:
        DatasetError: The name, the split, an option or the data are not as they must be.
        DatasetNotFoundError: The data are not there, and could not be downloaded.

    Example:
        >>> from tfp_realnvp import datasets
        >>> x, labels = datasets.load_arrays("moons", split="validation", seed=1)
        >>> x.shape, labels is None
        ((2000, 2), True)
    """
    check_split(split)
    with _opened(name, data_dir, options) as source:
        return source.arrays(split)


def load_rows(
    name: PathLike,
    split: str = "train",
    data_dir: PathLike | None = None,
    *,
    memory: float = IN_MEMORY,
    **options: Any,
) -> StoredArrays:
    """Loads a split as `load_arrays` does, unless it is larger than memory is meant to be.

    Args:
        name: See `load`.
        split: See `load`.
        data_dir: See `load`.
        memory: The most bytes of examples that are loaded. More come as `StoredRows`: an array of
            which rows are read from disk when they are asked for. Images of folders and zips, and
            data sets of TFDS, are put into the cache for it the first time. Rows of compressed
            `.npz` files and of tables are loaded whatever their size.
        **options: See `load`.

    Returns:
        Examples [N, H, W, C] or [N, D], and int64 labels [N] or None.

    Raises:
        DatasetError: The name, the split, an option or the data are not as they must be.
        DatasetNotFoundError: The data are not there, and could not be downloaded.

    Example:
        >>> import numpy as np, tempfile
        >>> from tfp_realnvp import datasets
        >>> path = tempfile.mkdtemp() + "/noise.npy"
        >>> np.save(path, np.zeros([100, 8, 8, 3], "uint8"))
        >>> x, _ = datasets.load_rows(path, memory=1000)
        >>> type(x).__name__, x.shape, x[[70, 3]].shape
        ('StoredRows', (80, 8, 8, 3), (2, 8, 8, 3))
    """
    check_split(split)
    with _opened(name, data_dir, options) as source:
        x, labels = source.rows(split)
        return loaded(x, memory=memory), labels


def load_condition(
    name: PathLike, split: str = "train", data_dir: PathLike | None = None, **options: Any
) -> np.ndarray | None:
    """Loads what the examples of a split are given with, in the order of `load_arrays`.

    Returns:
        Conditions [N, K], or of images also [N, H, W, K], float32 or integers; None where the
        data have none.

    Raises:
        DatasetError: The name, the split, an option or the data are not as they must be.
        DatasetNotFoundError: There is no such file.

    Example:
        >>> from tfp_realnvp import datasets
        >>> datasets.load_condition("moons") is None
        True
    """
    check_split(split)
    with _opened(name, data_dir, options) as source:
        return source.condition(split)


def info(name: PathLike, data_dir: PathLike | None = None, **options: Any) -> DatasetInfo:
    """Describes a data set, reading as little of it as will do; for the arguments see `load`.

    Returns:
        The shape of an example, the number of levels and of classes.

    Raises:
        DatasetError: The name, an option or the data are not as they must be.
        DatasetNotFoundError: There is no such file.

    Example:
        >>> from tfp_realnvp import datasets
        >>> datasets.info("digits").levels, datasets.info("mnist").levels
        (17, 256)
        >>> datasets.info("mnist", classes=[0, 2], image_size=(14, 14)).event_shape
        (14, 14, 1)
    """
    with _opened(name, data_dir, options) as source:
        return source.info()


def splits(name: PathLike, data_dir: PathLike | None = None, **options: Any) -> tuple[str, ...]:
    """Says which splits a data set has, reading as little as will do; for the arguments see `load`.

    Returns:
        Those of `"train"`, `"validation"` and `"test"` that it has, in this order. A file
        with `x_train` alone, or a folder with `train` and `val`, has no `"test"`; data of
        fewer than three examples are not cut into splits, and are all `"train"`.

    Raises:
        DatasetError: The name, an option or the data are not as they must be.
        DatasetNotFoundError: There is no such file.

    Example:
        >>> from tfp_realnvp import datasets
        >>> datasets.splits("digits")
        ('train', 'validation', 'test')
    """
    with _opened(name, data_dir, options) as source:
        return source.splits()


@contextmanager
def _opened(name: PathLike, data_dir: PathLike | None, options: dict[str, Any]) -> Iterator[Source]:
    """Opens a source; says which file the system's errors are about, which keep it apart."""
    text = os.fsdecode(name)
    try:
        make = _SOURCES.get(text) or _of_path(text, data_dir)
        arguments = inspect.signature(make).parameters.values()
        own = {a.name for a in arguments if a.kind is a.KEYWORD_ONLY}
        chosen = {k: v for k, v in options.items() if k in _CHOICES and k not in own}
        if unknown := sorted(set(options) - own - _CHOICES):
            takes = ", ".join(sorted(own | _CHOICES))
            raise DatasetError(
                f"The data set {text!r} has no option {unknown[0]!r}; it takes {takes}."
            )
        rest = {k: v for k, v in options.items() if k not in chosen}
        with make(text, data_dir, **rest) as source:
            yield Selection(source, **chosen) if chosen else source
    except DatasetError:
        raise
    except OSError as error:
        kind = DatasetNotFoundError if isinstance(error, FileNotFoundError) else DatasetError
        raise kind(
            f"{error.filename or name} cannot be read: {error.strerror or error}."
        ) from error


def _of_path(text: str, data_dir: PathLike | None) -> Callable[..., Source]:
    path = expanded(text)
    if data_dir is not None and not path.exists():
        path = expanded(data_dir) / path
    file = path.name.lower()
    if text and tfds_folder.is_prepared(path):
        return partial(tfds_folder.TfdsFolder, path)
    if text and (path.is_dir() or (file.endswith(_ZIP) and path.is_file())):
        return partial(ImageFiles, path)
    if file.endswith(array_files.SUFFIXES) and path.is_file():
        return partial(array_files.ArrayFile, path)
    if file.endswith(tables.SUFFIXES) and path.is_file():
        return partial(tables.Table, path)
    if text and path.exists():
        what = "is no data set" if path.is_file() else "is neither a file nor a folder"
        raise DatasetError(f"{text} {what}: give {_PATHS}.")
    if file.endswith((_ZIP, *array_files.SUFFIXES, *tables.SUFFIXES)) or os.sep in text:
        raise DatasetNotFoundError(f"There is no file or folder {text} to load data from.")
    near = difflib.get_close_matches(text, _SOURCES, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise DatasetError(
        f"There is no data set {text!r}{hint}; the known ones are {', '.join(names())}, and the "
        f"path of {_PATHS} works too."
    )
