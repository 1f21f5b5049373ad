"""Data sets that come through TensorFlow Datasets (TFDS), online or from local files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tfp_realnvp.datasets import idx, tfds_build
from tfp_realnvp.datasets.base import Arrays, DatasetInfo, Source, expanded
from tfp_realnvp.datasets.cache import cache_root, cached, file_identity

_PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class _Recipe:
    """What a set is called by TFDS, and what is made of it.

    Attributes:
        builder: Its name in TFDS.
        event_shape: Shape of an image.
        num_classes: Number of labels; None leaves them out.
        validation: Share of the training files, at their end, that is validation; None if
            TFDS has a validation split.
        id_feature: Feature that holds the place of an example in the original files.
        crop: Side in pixels of a centred crop, which is then resized to `event_shape`.
    """

    builder: str
    event_shape: tuple[int, int, int]
    num_classes: int | None
    validation: Fraction | None
    id_feature: str | None = None
    crop: int | None = None


_RECIPES = {
    "mnist": _Recipe("mnist", (28, 28, 1), 10, Fraction(1, 6)),
    "fashion_mnist": _Recipe("fashion_mnist", (28, 28, 1), 10, Fraction(1, 6)),
    "cifar10": _Recipe("cifar10", (32, 32, 3), 10, Fraction(1, 10), id_feature="id"),
    "svhn": _Recipe("svhn_cropped", (32, 32, 3), 10, Fraction(1, 10)),
    "celeba": _Recipe("celeb_a", (64, 64, 3), None, None, crop=148),
}


def sources() -> dict[str, Source]:
    """The source of each set, by name."""
    return {name: _source(name, recipe) for name, recipe in _RECIPES.items()}


def _source(name: str, recipe: _Recipe) -> Source:
    described = DatasetInfo(
        name, recipe.event_shape, levels=256, num_classes=recipe.num_classes, kind="image"
    )

    def arrays(split: str, data_dir: _PathLike | None) -> Arrays:
        root = expanded(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
        folder = idx.find(root, name) if name in idx.TRAIN_LABELS_SHA256 else None
        if folder is not None:
            found, validation = folder, recipe.validation
            return cached(
                split,
                lambda scratch: (
                    _split_off(tfds_build.from_idx(found, recipe.builder, scratch), validation),
                    (),
                ),
                root=cache_root(data_dir),
                name=name,
                label=name,
                identity=[name, [file_identity(folder / file) for file in idx.FILE_NAMES]],
            )
        fallback = cache_root(data_dir) / "tensorflow_datasets"
        prepared = tfds_build.prepare(name, recipe.builder, root, fallback=fallback)
        return cached(
            split,
            lambda scratch: (
                _split_off(_read_prepared(name, recipe, prepared), recipe.validation),
                (),
            ),
            root=cache_root(data_dir),
            name=name,
            label=name,
            identity=[name, [file_identity(file) for file in sorted(prepared.iterdir())]],
        )

    return Source(arrays=arrays, info=lambda data_dir: described)


def _read_prepared(name: str, recipe: _Recipe, prepared: Path) -> dict[str, Arrays]:
    arrays = tfds_build.read(
        prepared,
        ("train", "test") if recipe.validation else ("train", "validation", "test"),
        image_shape=recipe.event_shape,
        id_feature=recipe.id_feature,
        file_order=recipe.validation is not None,
        crop=recipe.crop,
        labelled=recipe.num_classes is not None,
    )
    tfds_build.check_file_order(name, arrays["train"][1], prepared)
    return arrays


def _split_off(arrays: dict[str, Arrays], share: Fraction | None) -> dict[str, Arrays]:
    if share is None:
        return arrays
    x, labels = arrays["train"]
    assert labels is not None, "sets that are cut here have labels"
    cut = len(x) - round(len(x) * share)
    return {
        "train": (x[:cut], labels[:cut]),
        "validation": (x[cut:], labels[cut:]),
        "test": arrays["test"],
    }
