"""Data sets that come through TensorFlow Datasets (TFDS), online or from local files."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from tfp_realnvp.core.stored import taken
from tfp_realnvp.datasets import idx, tfds_build
from tfp_realnvp.datasets.base import DatasetInfo, Source, StoredArrays, expanded
from tfp_realnvp.datasets.cache import cache_root, cached, file_identity
from tfp_realnvp.datasets.tfds_build import Recipe

# What is said of each face of CelebA, in TFDS' order.
_OF_FACES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs",
    "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows",
    "Chubby", "Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones",
    "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin",
    "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair",
    "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip

RECIPES = {
    "mnist": Recipe("mnist", (28, 28, 1), 10, Fraction(1, 6)),
    "fashion_mnist": Recipe("fashion_mnist", (28, 28, 1), 10, Fraction(1, 6)),
    "cifar10": Recipe("cifar10", (32, 32, 3), 10, Fraction(1, 10), id_feature="id"),
    "svhn": Recipe("svhn_cropped", (32, 32, 3), 10, Fraction(1, 10)),
    "celeba": Recipe("celeb_a", (64, 64, 3), None, None, crop=148, attributes=_OF_FACES),
}


class TfdsSet(Source):
    """The source of a set of `RECIPES`, of idx.gz files in the data folder or through TFDS."""

    def rows(self, split: str) -> StoredArrays:
        """See `Source.rows`."""
        name, recipe, cache = self.name, RECIPES[self.name], cache_root(self.data_dir)
        root = expanded(self.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
        folder = idx.find(root, name) if name in idx.TRAIN_LABELS_SHA256 else None
        if folder is not None:
            files = [folder / file for file in idx.FILE_NAMES]
        else:
            fallback = cache / "tensorflow_datasets"
            prepared = tfds_build.prepare(name, recipe, root, fallback=fallback)
            files = sorted(prepared.iterdir())

        def build(scratch: Path) -> tuple[dict[str, StoredArrays], tuple[str, ...]]:
            if folder is not None:
                arrays = tfds_build.from_idx(folder, recipe, scratch)
            else:
                arrays = tfds_build.read(prepared, recipe, scratch)
                tfds_build.check_file_order(name, arrays["train"][1], prepared)
            return _with_validation(arrays, recipe.validation), ()

        identity = [name, [file_identity(file) for file in files], *recipe.attributes]
        return cached(split, build, root=cache, name=name, label=name, identity=identity)

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        recipe = RECIPES[self.name]
        return DatasetInfo(self.name, recipe.event_shape, 256, recipe.num_classes, kind="image")


def _with_validation(
    arrays: dict[str, StoredArrays], share: Fraction | None
) -> dict[str, StoredArrays]:
    if share is None:
        return arrays
    x, labels = arrays["train"]
    assert labels is not None, "sets that are cut here have labels"
    cut = len(x) - round(len(x) * share)
    rows = np.arange(len(x))
    return {
        "train": (taken(x, rows[:cut]), labels[:cut]),
        "validation": (taken(x, rows[cut:]), labels[cut:]),
        "test": arrays["test"],
    }
