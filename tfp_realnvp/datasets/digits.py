"""The 8x8 handwritten digits that come with the package: the set that always works."""

from importlib import resources

import numpy as np

from tfp_realnvp.datasets.base import Arrays, DatasetInfo, Source

# A fixed cut in file order: different writers fill the file's beginning and its end.
_BOUNDS = {"train": (0, 1297), "validation": (1297, 1547), "test": (1547, 1797)}


class Digits(Source):
    """The source of `digits`."""

    def arrays(self, split: str) -> Arrays:
        """See `Source.arrays`."""
        file = resources.files("tfp_realnvp.datasets") / "_files" / "digits.npz"
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            rows = slice(*_BOUNDS[split])
            return arrays["images"][rows], arrays["labels"][rows].astype(np.int64)

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        return DatasetInfo(self.name, (8, 8, 1), levels=17, num_classes=10, kind="image")
