"""The 2-D toy sets that flows are drawn with: moons, circles, blobs, spiral, random.

The shapes are those of scikit-learn's generators, with the arguments that the Real NVP
literature uses; the draws are our own, from (seed, name, split). Each function draws `count`
points, float64 [count, 2].
"""

import numpy as np

from tfp_realnvp.datasets.base import SPLITS, Arrays, DatasetInfo, PathLike, Source, check_integer

_SIZES = {"train": 10_000, "validation": 2_000, "test": 2_000}
_NOISE = 0.05
_CIRCLE_FACTOR = 0.5
# make_blobs(random_state=8) puts its centres here.
_BLOB_CENTRES = np.array([[7.47, 9.37], [7.38, 0.62], [-5.34, -9.77]])


def moons(count: int, rng: np.random.Generator) -> np.ndarray:
    """Two interleaved half circles of radius 1 with normal noise of deviation 0.05."""
    upper = rng.random(count) < 0.5
    angle = np.pi * rng.random(count)
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], axis=1) + _NOISE * rng.standard_normal([count, 2])


def circles(count: int, rng: np.random.Generator) -> np.ndarray:
    """Two circles about the origin, of radius 1 and 0.5, with normal noise of 0.05."""
    radius = np.where(rng.random(count) < 0.5, 1.0, _CIRCLE_FACTOR)
    angle = 2 * np.pi * rng.random(count)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points + _NOISE * rng.standard_normal([count, 2])


def blobs(count: int, rng: np.random.Generator) -> np.ndarray:
    """Three round normal clusters of deviation 1 about fixed centres, equally likely."""
    return _BLOB_CENTRES[rng.integers(3, size=count)] + rng.standard_normal([count, 2])


def spiral(count: int, rng: np.random.Generator) -> np.ndarray:
    """Two arms of a spiral, one turned half a circle, with normal noise of 0.05.

    An arm goes one and a half times around, from the origin to radius 2, evenly along its length
    but for the innermost part.
    """
    along = np.sqrt(rng.random(count))
    angle = 3 * np.pi * along + np.pi * (rng.random(count) < 0.5)
    points = 2 * along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points + _NOISE * rng.standard_normal([count, 2])


def random(count: int, rng: np.random.Generator) -> np.ndarray:
    """Points without structure, uniform on the unit square: the log-density is 0 nats."""
    return rng.random([count, 2])


DRAWS = {
    "blobs": blobs,
    "circles": circles,
    "moons": moons,
    "random": random,
    "spiral": spiral,
}


class Toy(Source):
    """The source of a toy set; another seed is another draw."""

    def __init__(self, name: str, data_dir: PathLike | None, *, seed: int = 0) -> None:
        super().__init__(name, data_dir)
        check_integer(seed, "seed")
        self._seed = seed

    def arrays(self, split: str) -> Arrays:
        """See `Source.arrays`."""
        # The name's own bytes, since Python's hash differs from one process to the next.
        entropy = [
            self._seed % 2**64,
            SPLITS.index(split),
            int.from_bytes(self.name.encode(), "big"),
        ]
        points = DRAWS[self.name](_SIZES[split], np.random.default_rng(entropy))
        return points.astype(np.float32), None

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        return DatasetInfo(self.name, (2,), levels=None, num_classes=None, kind="vector")
