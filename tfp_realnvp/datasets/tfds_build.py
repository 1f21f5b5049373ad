"""Making TFDS build and read a data set: offline if it can, quietly, in the files' order."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_realnvp.datasets import idx, network
from tfp_realnvp.datasets.base import (
    DatasetError,
    DatasetNotFoundError,
    StoredArrays,
    reason,
)
from tfp_realnvp.datasets.cache import is_writable
from tfp_realnvp.datasets.image_decode import crop_and_resize
from tfp_realnvp.datasets.npy import Spool

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_BATCH = 1024


@dataclass(frozen=True)
class Recipe:
    """What a set is called by TFDS, and what is made of it.

    Attributes:
        builder: Its name in TFDS.
        event_shape: Shape of an image.
        num_classes: Number of labels; None leaves them out.
        validation: Share of the training files, at their end, that is validation; None if
            TFDS has a validation split.
        id_feature: Feature that holds the place of an example in the original files.
        crop: Side in pixels of a centred crop, which is then resized to `event_shape`.
        attributes: Names of what an example has or not, kept as int64 [N, K] in the place of
            labels.
    """

    builder: str
    event_shape: tuple[int, int, int]
    num_classes: int | None
    validation: Fraction | None
    id_feature: str | None = None
    crop: int | None = None
    attributes: tuple[str, ...] = ()


def from_idx(folder: Path, recipe: Recipe, scratch: Path) -> dict[str, StoredArrays]:
    """Builds MNIST or its like through TFDS from local idx.gz files, touching no network.

    Args:
        folder: Where the four files are; nothing is written there.
        recipe: The data set.
        scratch: An empty folder to work in. It belongs to this build alone: in a shared one
            TFDS takes the files that another data set extracted under the same names.

    Returns:
        uint8 images [N, 28, 28, 1] and int64 labels [N] in file order, for train and test.

    Raises:
        DatasetError: A file is damaged, or TFDS made something else of it.
    """
    originals = idx.read(folder, recipe.builder)
    with quiet():
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.download import checksums

        base = tfds.builder_cls(recipe.builder)
        sums = {
            url: checksums.compute_url_info(folder / url.rsplit("/", 1)[1])
            for url in base.url_infos
        }

        # TFDS takes a local file for a download when size and checksum are as registered, so
        # these files' own are registered, in a class that nobody else sees.
        class Offline(base, skip_registration=True):  # type: ignore
            name = base.name
            url_infos = sums

        builder = Offline(data_dir=scratch / "prepared")
        builder.info.as_proto.disable_shuffling = True
        builder.download_and_prepare(
            download_dir=scratch / "downloads",
            download_config=tfds.download.DownloadConfig(
                manual_dir=folder, extract_dir=scratch / "extracted", try_download_gcs=False
            ),
        )
    arrays = read(Path(builder.data_dir), recipe, scratch)
    for split, (images, labels) in originals.items():
        pairs = zip(arrays[split], (images, labels), strict=True)
        if not all(np.array_equal(np.asarray(built), given) for built, given in pairs):
            raise DatasetError(f"TFDS built a {split} split that is not what {folder} holds.")
    return arrays


def prepare(name: str, recipe: Recipe, root: Path, *, fallback: Path) -> Path:
    """The folder that TFDS prepared a data set in, after downloading it if need be.

    Args:
        name: What we call it, for the error.
        recipe: The data set.
        root: TFDS' data folder.
        fallback: The data folder to take when `root` may not be written to.

    Returns:
        The folder with the records.

    Raises:
        DatasetNotFoundError: It is not there, and the network cannot be reached.
        DatasetError: TFDS failed.
    """
    with quiet():
        import tensorflow_datasets as tfds

        builders = [tfds.builder(recipe.builder, data_dir=place) for place in (root, fallback)]
        prepared = next((builder for builder in builders if builder.is_prepared()), None)
    if prepared is not None:
        return Path(prepared.data_dir)
    builder = builders[0] if is_writable(root) else builders[1]
    if builder is builders[1]:
        fallback.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    urls = {url: str(known.filename) for url, known in (builder.url_infos or {}).items()}
    places = [root / name, root, root / "downloads" / "manual"]
    manual = next((p for p in places if all((p / f).is_file() for f in urls.values())), None)
    if manual is None and not network.is_reachable(next(iter(urls))):
        raise DatasetNotFoundError(_not_reachable(name, root, list(urls.values())))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(
                    manual_dir=manual,
                    extract_dir=Path(builder.data_dir).parents[1] / "extracted" / recipe.builder,
                    try_download_gcs=False,
                )
            )
    except Exception as error:  # TFDS passes on whatever its parts raise
        raise DatasetError(
            f"TFDS could not prepare the data set {name!r} in {root}: "
            f"{type(error).__name__}, {reason(error)}."
        ) from error
    return Path(builder.data_dir)


def read(prepared: Path, recipe: Recipe, scratch: Path) -> dict[str, StoredArrays]:
    """Reads the folder that TFDS prepared, by its splits, in the order of the original files.

    CelebA alone, whose splits are TFDS' own, stays in the order in which TFDS keeps it. Images go
    into files in `scratch`.
    """
    splits = ("train", "test") if recipe.validation else ("train", "validation", "test")
    with quiet():
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(prepared)
        return {split: _read_split(builder, split, recipe, scratch) for split in splits}


def check_file_order(name: str, labels: np.ndarray | None, prepared: Path) -> None:
    """Refuses training labels that are not in the order of the original files.

    Only sets with a known digest can be checked; `prepared` is the folder, for the error.
    """
    known = idx.TRAIN_LABELS_SHA256.get(name)
    if known and labels is not None and idx.labels_digest(labels) != known:
        raise DatasetError(
            f"The data set {name!r} that TFDS prepared in {prepared} cannot be brought into the "
            f"order of its original files; put {', '.join(idx.FILE_NAMES)} into a folder and "
            "name it with --data_dir (data_dir=)."
        )


def _read_split(
    builder: tfds.core.DatasetBuilder, split: str, recipe: Recipe, scratch: Path
) -> StoredArrays:
    import tensorflow_datasets as tfds

    id_feature, attributes = recipe.id_feature, recipe.attributes
    kept = "attributes" if attributes else "label" if recipe.num_classes is not None else None
    # One shard after the other, as they were written.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    features = ["image", *(key for key in (kept, id_feature) if key)]

    def chosen(record: dict[str, Any]) -> dict[str, Any]:
        if attributes:
            record = record | {"attributes": [record["attributes"][name] for name in attributes]}
        return {key: record[key] for key in features}

    records = builder.as_dataset(split=split, shuffle_files=False, read_config=config)
    records = records.map(chosen).batch(_BATCH)
    count = builder.info.splits[split].num_examples
    spool = Spool(scratch / f"{split}.images", (count, *recipe.event_shape), np.uint8)
    rest: dict[str, list[np.ndarray]] = {key: [] for key in features[1:]}
    start = 0
    for batch in records.as_numpy_iterator():
        part = batch["image"]
        if recipe.crop is not None:
            part = _cropped(part, recipe.crop, recipe.event_shape[:2])
        spool[start] = part
        start += len(part)
        for key, parts in rest.items():
            parts.append(batch[key])
    columns = {key: np.concatenate(parts) for key, parts in rest.items()}
    labels = columns[kept].astype(np.int64) if kept else None
    images = spool.rows()
    if recipe.validation is None or builder.info.disable_shuffling:
        return images, labels
    order = np.argsort(columns[id_feature]) if id_feature else _unshuffled(split, count)
    return images.take(order), None if labels is None else labels[order]


def _unshuffled(split: str, count: int) -> np.ndarray:
    """Where each example of the original files is among the shuffled records.

    TFDS writes records in the order of a salted hash of their keys, which it promises to
    keep; the keys of the sets read here are the places 0, 1, ... in the files.
    """
    from tensorflow_datasets.core import hashing

    hasher = hashing.Hasher(split)
    keys = np.array([hasher.hash_key(place) for place in range(count)], dtype=object)
    return np.argsort(np.argsort(keys))


def _cropped(images: np.ndarray, crop: int, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    top, left = (images.shape[1] - crop) // 2, (images.shape[2] - crop) // 2
    squares = images[:, top : top + crop, left : left + crop]
    return np.stack([np.asarray(crop_and_resize(Image.fromarray(s), size)) for s in squares])


def _not_reachable(name: str, root: Path, files: list[str]) -> str:
    return (
        f"The data set {name!r} is not in {root}, and the network could not be reached to "
        f"download it: put {', '.join(files)} into {root} or {root / name} and name that folder "
        "with --data_dir (data_dir=), or take 'digits', which needs no download."
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TFDS' progress bars and messages off the screen."""
    from absl import logging

    before: Any = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(before)
