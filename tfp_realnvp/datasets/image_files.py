"""Folders and zips of images as data sets."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfp_realnvp.datasets.base import SPLITS, Arrays, DatasetError, DatasetInfo, Source, note
from tfp_realnvp.datasets.cache import cache_root, cached
from tfp_realnvp.datasets.image_decode import Decoding, check_size, decode_image, decode_images
from tfp_realnvp.datasets.image_layout import Layout, read_layout
from tfp_realnvp.datasets.image_listing import Listing, opened


def source(name: str, path: Path) -> Source:
    """The source of a folder or zip of images; `image_layout` has its splits and classes.

    What is skipped, turned or converted is said in a `DatasetWarning`, with counts; what
    would lose information is refused, or done if an option asks for it.

    Args:
        name: What the user called it.
        path: The folder or zip.
    """

    def arrays(split: str, data_dir: str | os.PathLike[str] | None, **options: Any) -> Arrays:
        decoding = _decoding(**options)
        with _laid_out(name, path) as (files, layout):
            if split not in layout.paths:
                raise DatasetError(
                    f"{name} has no folder {split} beside {' and '.join(layout.paths)}."
                )
            if not layout.paths[split]:
                raise DatasetError(
                    f"The split {split!r} of {name} has no examples: {len(files.files)} images are "
                    "too few to cut."
                )
            if files.skipped:
                note(f"{name}: skipped {files.skipped}.")
            for sentence in (*files.notes, *layout.notes):
                note(sentence)
            return cached(
                split,
                lambda scratch: _decode(files, layout, decoding),
                root=cache_root(data_dir),
                name=name,
                label=path.stem,
                identity=[files.place, sorted(files.files.items()), repr(decoding)],
            )

    def info(data_dir: str | os.PathLike[str] | None, **options: Any) -> DatasetInfo:
        del data_dir
        decoding = _decoding(**options)
        with _laid_out(name, path) as (files, layout):
            first, _ = decode_image(files.read(layout.first), layout.first, decoding)
            for paths in filter(None, layout.paths.values()):
                image, _ = decode_image(
                    files.read(paths[0]), paths[0], decoding, channels=first.shape[-1]
                )
                check_size(image, paths[0], first, layout.first)
            classes = len(layout.classes) or None
            return DatasetInfo(name, first.shape, levels=256, num_classes=classes, kind="image")

    def splits(data_dir: str | os.PathLike[str] | None, **options: Any) -> tuple[str, ...]:
        del data_dir
        _decoding(**options)
        with _laid_out(name, path) as (_, layout):
            return tuple(split for split in SPLITS if layout.paths.get(split))

    options = frozenset(Decoding.__dataclass_fields__)
    return Source(arrays=arrays, info=info, options=options, splits=splits)


@contextmanager
def _laid_out(name: str, path: Path) -> Iterator[tuple[Listing, Layout]]:
    with opened(name, path) as files:
        yield files, read_layout(list(files.files), name)


def _decode(
    files: Listing, layout: Layout, decoding: Decoding
) -> tuple[dict[str, Arrays], list[str]]:
    arrays: dict[str, Arrays] = {}
    changes: Counter[str] = Counter()
    for split, paths in layout.paths.items():
        images, changed = decode_images(files.read, paths, decoding, like=layout.first)
        arrays[split] = images, layout.labels[split]
        changes += changed
    total = len(files.files)
    return arrays, [f"images {how}: {n} of {total}" for how, n in sorted(changes.items())]


def _decoding(*, image_size: Any = None, channels: Any = None, background: Any = None) -> Decoding:
    """Checks the options."""
    from PIL import ImageColor

    if image_size is not None:
        try:
            height, width = (int(side) for side in image_size if side == int(side))
        except (TypeError, ValueError, OverflowError):
            height = width = 0
        if min(height, width) < 1:
            raise DatasetError(
                "image_size must be (height, width) in pixels, integers from 1; got "
                f"{image_size!r}."
            )
        image_size = height, width
    if channels not in (None, 1, 3):
        raise DatasetError(f"channels must be 1 (grey) or 3 (colour); got {channels!r}.")
    if background is not None:
        try:
            ImageColor.getrgb(background)
        except (AttributeError, TypeError, ValueError) as error:
            raise DatasetError(
                f"background must be a colour such as 'white' or '#ff0000'; got {background!r}."
            ) from error
    return Decoding(image_size, channels, background)
