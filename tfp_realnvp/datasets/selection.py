"""Some classes of a data set, in another size of its images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfp_realnvp.core.stored import StoredRows, taken
from tfp_realnvp.datasets.base import DatasetError, DatasetInfo, Source, StoredArrays
from tfp_realnvp.datasets.image_decode import Decoding, resized


class Selection(Source):
    """What a source has of some classes, numbered anew, its images brought to a size.

    Args:
        source: an open source, which stays open as long as this one is used.
        classes: labels to keep, in the order in which they are numbered from 0; None for all.
        image_size: `(H, W)`: the largest centred crop of these proportions, resized; None to keep
            images as they are.

    Raises:
        DatasetError: the source has no such classes, or no images.
    """

    def __init__(self, source: Source, *, classes: Any = None, image_size: Any = None) -> None:
        super().__init__(source.name, source.data_dir)
        self._source = source
        self._known = source.info()
        self._classes = None if classes is None else self._checked(classes)
        self._size = Decoding(image_size=image_size).image_size
        if self._size is not None and self._known.kind != "image":
            raise DatasetError(f"image_size is for images; {self.name} has vectors.")
        if self._size is not None and len(self._known.condition_shape or ()) == 3:
            raise DatasetError(f"{self.name} has a condition of each pixel: give no image_size.")

    def rows(self, split: str) -> StoredArrays:
        """See `Source.rows`."""
        x, labels = self._source.rows(split)
        if self._classes is not None:
            numbers = self._numbers(labels)
            x, labels = taken(x, np.flatnonzero(numbers >= 0)), numbers[numbers >= 0]
            if not len(x):
                raise DatasetError(
                    f"The split {split!r} of {self.name} has no examples of classes "
                    f"{self._classes}."
                )
        if self._size is None:
            return x, labels
        size = self._size
        if isinstance(x, StoredRows):
            shape = (*size, x.shape[-1])
            return x.changed(lambda part, _: _resized(part, size), shape, x.dtype), labels
        return _resized(x, size), labels

    def condition(self, split: str) -> np.ndarray | None:
        """See `Source.condition`."""
        condition = self._source.condition(split)
        if condition is None or self._classes is None:
            return condition
        return condition[self._numbers(self._source.rows(split)[1]) >= 0]

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        changes: dict[str, Any] = {}
        if self._classes is not None:
            changes["num_classes"] = len(self._classes)
        if self._size is not None:
            changes["event_shape"] = (*self._size, self._known.event_shape[-1])
        return dataclasses.replace(self._known, **changes)

    def splits(self) -> tuple[str, ...]:
        """See `Source.splits`."""
        return self._source.splits()

    def _numbers(self, labels: np.ndarray | None) -> np.ndarray:
        """Returns the new numbers of labels, -1 for those that are not kept."""
        assert labels is not None and self._classes is not None
        number = np.full(labels.max(initial=max(self._classes)) + 1, -1)
        number[self._classes] = np.arange(len(self._classes))
        return number[labels]

    def _checked(self, classes: Any) -> list[int]:
        count = self._known.num_classes
        if count is None:
            raise DatasetError(f"{self.name} has no labels to choose classes by.")
        known = isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str)
        if not known or not len(classes) or any(c not in range(count) for c in classes):
            raise DatasetError(
                f"classes must be labels of {self.name}, some of 0..{count - 1}; got {classes!r}."
            )
        numbers = [int(c) for c in classes]
        if len(set(numbers)) < len(numbers):
            raise DatasetError(f"classes must be different labels; got {classes!r}.")
        return numbers


def _resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.stack([resized(image, size) for image in images])
