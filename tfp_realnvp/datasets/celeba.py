"""CelebA: faces, with what people said of each, as labels or as its condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfp_realnvp.datasets.base import DatasetError, DatasetInfo, PathLike, StoredArrays
from tfp_realnvp.datasets.tfds_source import RECIPES, TfdsSet


class CelebA(TfdsSet):
    """The source of CelebA.

    Args:
        name: see `Source`.
        data_dir: see `Source`.
        label: An attribute that is the label: 1 of a face that has it, 0 of others; None for
            images without labels.
        attributes: Attributes that are the condition [N, K], 1.0 of a face that has one, else 0.0,
            in this order; `"all"` for the 40 in TFDS' order; None for no condition.

    Raises:
        DatasetError: there is no such attribute, or one twice.
    """

    def __init__(
        self,
        name: str,
        data_dir: PathLike | None,
        *,
        label: str | None = None,
        attributes: Sequence[str] | str | None = None,
    ) -> None:
        super().__init__(name, data_dir)
        known = RECIPES[name].attributes
        self._label = None if label is None else _places([label], known)[0]
        self._given = None
        if attributes is not None:
            chosen = known if attributes == "all" else attributes
            self._given = _places([chosen] if isinstance(chosen, str) else chosen, known)

    def rows(self, split: str) -> StoredArrays:
        """See `Source.rows`."""
        x, has = super().rows(split)
        assert has is not None, "the recipe has attributes in the place of labels"
        return x, None if self._label is None else has[:, self._label].astype(np.int64)

    def condition(self, split: str) -> np.ndarray | None:
        """See `Source.condition`."""
        if self._given is None:
            return None
        has = super().rows(split)[1]
        assert has is not None
        return has[:, self._given].astype(np.float32)

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        return dataclasses.replace(
            super().info(),
            num_classes=None if self._label is None else 2,
            condition_shape=None if self._given is None else (len(self._given),),
        )


def _places(names: Any, known: Sequence[str]) -> list[int]:
    """Returns where some attributes are among those that there are."""
    names = list(names)
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        raise DatasetError(
            f"The attributes of CelebA are {', '.join(known)}, each once at most; got {names!r}."
        )
    return [known.index(name) for name in names]
