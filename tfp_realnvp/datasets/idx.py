"""The idx.gz files of MNIST and its like: finding them, and refusing damaged ones."""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

from tfp_realnvp.datasets.base import DatasetError, DatasetNotFoundError

FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
FILE_NAMES = tuple(file for pair in FILES.values() for file in pair)
NUM_EXAMPLES = {"train": 60_000, "test": 10_000}

# SHA-256 of the training labels in file order: tells the sets apart, and a true order from
# a wrong one.
TRAIN_LABELS_SHA256 = {
    "mnist": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "fashion_mnist": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
}

_SIDE = 28
_NUM_CLASSES = 10
# Two zero bytes, the type (8: unsigned bytes), the number of dimensions.
_IMAGES_MAGIC = 0x0803
_LABELS_MAGIC = 0x0801


def find(data_dir: Path, name: str) -> Path | None:
    """The folder that holds the four files of a data set, or None if none holds any.

    Looked for in the folder `name` of the data folder, then in that itself.

    Raises:
        DatasetNotFoundError: Some of the files are there, and others are not.
    """
    for folder in (data_dir / name, data_dir):
        missing = [file for file in FILE_NAMES if not (folder / file).is_file()]
        if not missing:
            return folder
        if len(missing) < len(FILE_NAMES):
            raise DatasetNotFoundError(
                f"{folder} holds some of the files of {name} but not {', '.join(missing)}."
            )
    return None


def read(folder: Path, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reads the four files, and checks that they are those of a data set.

    Returns:
        uint8 images [N, 28, 28, 1] and int64 labels [N] in file order, for train and test.

    Raises:
        DatasetError: A file is damaged, or they are another data set's.
    """
    arrays = {}
    for split, (images_name, labels_name) in FILES.items():
        count = NUM_EXAMPLES[split]
        images = _read_file(folder / images_name, _IMAGES_MAGIC, (count, _SIDE, _SIDE), "images")
        labels = _read_file(folder / labels_name, _LABELS_MAGIC, (count,), "labels")
        if labels.max() >= _NUM_CLASSES:
            raise DatasetError(
                f"{folder / labels_name} is damaged: it holds the label {labels.max()}, where "
                f"0..{_NUM_CLASSES - 1} were expected."
            )
        arrays[split] = images[..., None], labels.astype(np.int64)
    digest = labels_digest(arrays["train"][1])
    for other, known in TRAIN_LABELS_SHA256.items():
        if digest == known and other != name:
            raise DatasetError(f"The files in {folder} are those of {other}, and not of {name}.")
    return arrays


def labels_digest(labels: np.ndarray) -> str:
    """SHA-256 of labels [N] as single bytes."""
    return hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest()


def _read_file(path: Path, magic: int, shape: tuple[int, ...], what: str) -> np.ndarray:
    try:
        with gzip.open(path) as stream:
            data = stream.read()
    except EOFError as error:
        raise DatasetError(f"{path} is damaged: its compressed data end early.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path} is damaged, or is no gzip file: {error}.") from error
    header = 4 + 4 * len(shape)
    if len(data) < header:
        raise DatasetError(
            f"{path} is damaged: it holds {len(data)} bytes, where a header of {header} was "
            "expected."
        )
    found, *sizes = struct.unpack(f">{1 + len(shape)}I", data[:header])
    if found != magic:
        raise DatasetError(
            f"{path} is damaged: it begins with the magic number {found}, where {magic} was "
            f"expected for {what}."
        )
    if sizes[0] != shape[0]:
        raise DatasetError(
            f"{path} is damaged: it announces {sizes[0]} {what}, where {shape[0]} were expected."
        )
    if tuple(sizes) != shape:
        raise DatasetError(
            f"{path} is damaged: it announces {what} of {'x'.join(map(str, sizes[1:]))} pixels, "
            f"where {'x'.join(map(str, shape[1:]))} were expected."
        )
    if len(data) - header != np.prod(shape):
        raise DatasetError(
            f"{path} is damaged: it holds {len(data) - header} bytes of {what}, where "
            f"{np.prod(shape)} were expected."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
