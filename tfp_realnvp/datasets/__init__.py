"""Data sets by name or by path, in memory or as `tf.data`.

| what | how it is named | what comes |
| --- | --- | --- |
| embedded images | `digits` | uint8 [8, 8, 1], values 0..16, labels 0..9 |
| TensorFlow Datasets | `mnist`, `fashion_mnist`, `cifar10`, `svhn`, `celeba` | uint8 [H, W, C] |
| 2-D toys | `moons`, `circles`, `blobs`, `spiral`, `random` | float32 [2] |
| your images | a path to a folder or zip of png, jpg, bmp, webp, tiff or gif | uint8 [H, W, C] |
| your arrays | a path to a `.npy` or `.npz` file | uint8 [H, W, C] or float32 [D] |
| your tables | a path to a `.csv`, `.tsv` (also `.gz`) or `.parquet` file | float32 [D] |

`load` gives an unbatched `tf.data.Dataset`, `load_arrays` NumPy arrays, `load_rows` what is
larger than memory, `load_condition` what examples are given with, `info` the shape and the number
of levels that a flow is built from, and `batches` a stream of batches that a run can resume at any
step. There are the splits `train`, `validation` and `test`; `splits` says which of them a set of
your own has.

Example:
    >>> from tfp_realnvp import datasets
    >>> datasets.info("digits").event_shape
    (8, 8, 1)
    >>> images, labels = datasets.load_arrays("digits", split="test")
    >>> images.shape, str(images.dtype), labels.shape
    ((250, 8, 8, 1), 'uint8', (250,))
"""

from tfp_realnvp.core.stored import StoredRows
from tfp_realnvp.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetInfo,
    DatasetNotFoundError,
    DatasetWarning,
)
from tfp_realnvp.datasets.batches import batches
from tfp_realnvp.datasets.registry import (
    info,
    load,
    load_arrays,
    load_condition,
    load_rows,
    names,
    register,
    splits,
)

__all__ = [
    "SPLITS",
    "DatasetError",
    "DatasetInfo",
    "DatasetNotFoundError",
    "DatasetWarning",
    "StoredRows",
    "batches",
    "info",
    "load",
    "load_arrays",
    "load_condition",
    "load_rows",
    "names",
    "register",
    "splits",
]
