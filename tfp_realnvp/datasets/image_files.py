"""Folders and zips of images as data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetInfo,
    PathLike,
    Source,
    StoredArrays,
    note,
)
from tfp_realnvp.datasets.cache import cache_root, cached
from tfp_realnvp.datasets.image_decode import Decoding, decode_images
from tfp_realnvp.datasets.image_layout import read_layout
from tfp_realnvp.datasets.image_listing import opened
from tfp_realnvp.datasets.npy import Spool


class ImageFiles(Source):
    """The source of a folder or zip of images; `image_layout` has its splits and classes.

    What is skipped, turned or converted is said in a `DatasetWarning`, with counts; what
    would lose information is refused, or done if an option asks for it: see `Decoding`.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        data_dir: PathLike | None,
        *,
        image_size: Any = None,
        channels: Any = None,
        background: Any = None,
    ) -> None:
        super().__init__(name, data_dir)
        self._label = path.stem
        self._decoding = Decoding(image_size, channels, background)
        with ExitStack() as stack:
            self._files = stack.enter_context(opened(name, path))
            self._layout = read_layout(list(self._files.files), name)
            self._stack = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def rows(self, split: str) -> StoredArrays:
        """See `Source.rows`; says what was skipped."""
        name, files, layout = self.name, self._files, self._layout
        if split not in layout.paths:
            raise DatasetError(f"{name} has no folder {split} beside {' and '.join(layout.paths)}.")
        if not layout.paths[split]:
            raise DatasetError(
                f"The split {split!r} of {name} has no examples: {len(files.files)} images are "
                "too few to cut."
            )
        if files.skipped:
            note(f"{name}: skipped {files.said_of_skipped()}.")
        for sentence in (*files.notes, *layout.notes):
            note(sentence)
        return cached(
            split,
            self._decode_all,
            root=cache_root(self.data_dir),
            name=name,
            label=self._label,
            identity=[files.place, sorted(files.files.items()), repr(self._decoding)],
        )

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        firsts = [paths[0] for paths in self._layout.paths.values() if paths]
        images, _ = self._decode(firsts, partial(np.empty, dtype=np.uint8))
        classes = len(self._layout.classes) or None
        return DatasetInfo(self.name, images.shape[1:], 256, classes, kind="image")

    def splits(self) -> tuple[str, ...]:
        """See `Source.splits`."""
        return tuple(split for split in SPLITS if self._layout.paths.get(split))

    def _decode(
        self, paths: Sequence[str], make: Callable[[tuple[int, ...]], Any]
    ) -> tuple[Any, Counter[str]]:
        read, like = self._files.read, self._layout.first
        return decode_images(read, paths, self._decoding, like=like, make=make)

    def _decode_all(self, scratch: Path) -> tuple[dict[str, StoredArrays], list[str]]:
        arrays: dict[str, StoredArrays] = {}
        changes: Counter[str] = Counter()
        for split, paths in self._layout.paths.items():
            images, changed = self._decode(paths, partial(Spool, scratch / split, dtype=np.uint8))
            arrays[split] = images.rows(), self._layout.labels[split]
            changes += changed
        total = len(self._files.files)
        return arrays, [f"images {how}: {n} of {total}" for how, n in sorted(changes.items())]
