"""Folders that TensorFlow Datasets (TFDS) has prepared, of any data set of images."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp.core.stored import taken
from tfp_realnvp.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetInfo,
    PathLike,
    Source,
    StoredArrays,
)
from tfp_realnvp.datasets.cache import cache_root, cached, file_identity
from tfp_realnvp.datasets.image_decode import Decoding, resized
from tfp_realnvp.datasets.npy import Spool
from tfp_realnvp.datasets.splitting import cut_in_order, hold_out_last_tenth
from tfp_realnvp.datasets.tfds_build import quiet

_FILES = ("dataset_info.json", "features.json")
_IMAGE, _LABEL = "image", "label"


def is_prepared(folder: Path) -> bool:
    """Returns whether a folder is one that TFDS has prepared, such as `NAME/1.0.0`."""
    with contextlib.suppress(OSError):  # of what cannot be looked into, others have the sentence
        return all((folder / file).is_file() for file in _FILES)
    return False


class TfdsFolder(Source):
    """The source of a prepared folder, whose examples have an `image` and maybe a `label`.

    Its splits `train`, `validation` and `test` are taken as they are, in the order of the records.
    Without `validation` the last tenth of each class of `train` takes its place; `train` alone is
    cut into the first 80, the next 10 and the last 10 percent.

    Args:
        path: the folder.
        name: see `Source`.
        data_dir: see `Source`.
        image_size: `(H, W)` to bring all images to; None where they have one size.

    Raises:
        DatasetError: there are no such features, or images of many sizes and no `image_size`.
    """

    def __init__(
        self, path: Path, name: str, data_dir: PathLike | None, *, image_size: Any = None
    ) -> None:
        super().__init__(name, data_dir)
        self._path, self._size = path, Decoding(image_size=image_size).image_size
        with quiet():
            import tensorflow_datasets as tfds

            self._builder = tfds.builder_from_directory(path)
            features = dict(self._builder.info.features)
            image, label = features.get(_IMAGE), features.get(_LABEL)
            if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
                raise DatasetError(
                    f"{name} holds the features {', '.join(features)}, where an 'image' of 8 bits "
                    "was expected."
                )
            self._classes: int | None = getattr(label, "num_classes", None)
        shape = (*(self._size or image.shape[:2]), image.shape[2])
        if None in shape:
            raise DatasetError(
                f"{name} holds images of shape {list(image.shape)}, of many sizes: image_size "
                "brings them to one."
            )
        self._shape = shape
        self._there = [split for split in SPLITS if split in self._builder.info.splits]
        if "train" not in self._there:
            raise DatasetError(
                f"{name} has the splits {', '.join(self._builder.info.splits)}, but no train."
            )

    def rows(self, split: str) -> StoredArrays:
        """See `Source.rows`."""
        if split not in self.splits():
            raise DatasetError(f"{self.name} has no split {split!r} beside train.")
        files = [file_identity(file) for file in sorted(self._path.iterdir())]
        return cached(
            split,
            lambda scratch: (self._read(scratch), ()),
            root=cache_root(self.data_dir),
            name=self.name,
            label=self._builder.name,
            identity=[files, self._size],
        )

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        return DatasetInfo(self.name, self._shape, 256, self._classes, kind="image")

    def splits(self) -> tuple[str, ...]:
        """See `Source.splits`."""
        cut = self._there == ["train"]
        return tuple(s for s in SPLITS if cut or s in self._there or s == "validation")

    def _read(self, scratch: Path) -> dict[str, StoredArrays]:
        arrays = {split: self._read_split(split, scratch) for split in self._there}
        x, labels = arrays["train"]
        if self._there == ["train"]:
            cuts = cut_in_order(len(x))
        elif "validation" in self._there:
            return arrays
        else:
            cuts = dict(zip(SPLITS[:2], hold_out_last_tenth(labels, len(x)), strict=True))
        parts = {
            split: (taken(x, rows), None if labels is None else labels[rows])
            for split, rows in cuts.items()
        }
        return arrays | parts

    def _read_split(self, split: str, scratch: Path) -> StoredArrays:
        count = self._builder.info.splits[split].num_examples
        spool = Spool(scratch / f"{split}.images", (count, *self._shape), np.uint8)
        labels = np.zeros(count, np.int64)
        with quiet():
            import tensorflow_datasets as tfds

            # One shard after the other, as they were written.
            config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
            records = self._builder.as_dataset(split=split, shuffle_files=False, read_config=config)
            for row, record in enumerate(records.as_numpy_iterator()):
                image = record[_IMAGE]
                spool[row] = image if self._size is None else resized(image, self._size)
                if self._classes is not None:
                    labels[row] = record[_LABEL]
        return spool.rows(), None if self._classes is None else labels
