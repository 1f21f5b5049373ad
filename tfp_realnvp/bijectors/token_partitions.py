"""Partitions of a grid of tokens into halves that fill the grid again, as Jet's are."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import Shape
from tfp_realnvp.bijectors.partitions import ChannelHalves, Partition
from tfp_realnvp.core import arguments


class ShuffledChannelHalves(ChannelHalves):
    """A random half of the channels passes, `C // 2` of them; the conditioner sees them alone.

    With the permutation p that the seed gives, it sees the channels `p_0, p_1, ..` in this order.

    Args:
        seed: seed of the permutation, a whole number of at least 0.
        inverted: whether the two parts change places.
    """

    def __init__(self, *, seed: int = 0, inverted: bool = False):
        super().__init__(inverted=inverted)
        self.seed = arguments.whole("ShuffledChannelHalves", "seed", seed, least=0)

    def _permutation(self, size):
        return np.random.default_rng(self.seed).permutation(size)

    def _passes(self, size):
        return super()._passes(size)[np.argsort(self._permutation(size))]

    def _parts(self, y):
        return super()._parts(tf.gather(y, self._permutation(y.shape[-1]), axis=-1))

    def _join(self, first, second, size):
        places = np.argsort(self._permutation(size))
        return tf.gather(super()._join(first, second, size), places, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"seed": self.seed, "inverted": self.inverted}


class _PixelHalves(Partition):
    """Base of partitions that extract two halves of the pixels, each as a grid `[H, W, C / 2]`.

    The pixels of a half stand one after the other, and each is cut in two along its channels:
    networks on all channel and pixel partitions see grids of one shape (arXiv:2412.15129).
    """

    event_ndims = 3

    @abc.abstractmethod
    def _odd(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Returns an array that is odd where pixels change."""

    def mask(self, event_shape: Shape) -> np.ndarray:
        """See `Partition.mask`; `[H, W, 1]`."""
        height, width, channels = event_shape
        odd = self._odd(np.arange(height)[:, None], np.arange(width)) + np.zeros([height, width])
        passes = (odd % 2 == 0) ^ self.inverted
        if 2 * passes.sum() != passes.size or channels % 2:
            raise ValueError(
                f"{type(self).__name__} needs two equal halves of the pixels and an even number of "
                f"channels, got shape {event_shape}."
            )
        return passes[..., None]

    def seen_size(self, event_shape: Shape) -> int:
        """See `Partition.seen_size`."""
        return event_shape[-1] // 2

    def changed_size(self, event_shape: Shape) -> int:
        """See `Partition.changed_size`."""
        return event_shape[-1] // 2

    def split(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Partition.split`."""
        height, width, channels = y.shape[1:]
        pixels = tf.reshape(y, [-1, height * width, channels])
        parts = tf.split(tf.gather(pixels, self._order(y), axis=1), 2, axis=1)
        seen, changed = (tf.reshape(part, [-1, height, width, channels // 2]) for part in parts)
        return seen, changed

    def merge(self, y: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        """See `Partition.merge`."""
        height, width, channels = y.shape[1:]
        parts = [
            tf.reshape(part, [-1, height * width // 2, channels])
            for part in (self.split(y)[0], changed)
        ]
        pixels = tf.gather(tf.concat(parts, 1), np.argsort(self._order(y)), axis=1)
        return tf.reshape(pixels, [-1, height, width, channels])

    def total(self, log_det: tf.Tensor) -> tf.Tensor:
        """See `Partition.total`."""
        return tf.reduce_sum(log_det, axis=[1, 2, 3])

    def _order(self, y: tf.Tensor) -> np.ndarray:
        """Returns the numbers of the pixels, those that pass first."""
        passes = self.mask(tuple(y.shape[1:])).ravel()
        return np.argsort(~passes, kind="stable")


class CheckerboardHalves(_PixelHalves):
    """Pixels of even `row + column` pass; the conditioner sees them alone.

    `Checkerboard` masks instead: its conditioner sees all pixels, those that change as zeros.
    """

    def _odd(self, rows, columns):
        return rows + columns


class RowHalves(_PixelHalves):
    """Pixels of even rows pass; the conditioner sees them alone."""

    def _odd(self, rows, columns):
        return rows


class ColumnHalves(_PixelHalves):
    """Pixels of even columns pass; the conditioner sees them alone."""

    def _odd(self, rows, columns):
        return columns
