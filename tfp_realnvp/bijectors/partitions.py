"""Partitions of an event into the part that a coupling passes and the part that it changes."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import Shape
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import serializable


class Partition(abc.ABC):
    """A fixed split of an event in two.

    A coupling asks for `split(y)`: what the conditioner sees and what is transformed, and for
    `merge(y, changed)` to put the transformed part back. A partition may extract the changed part
    (`Halves`, `Alternating`) or keep the whole event and mask (`Checkerboard`, `Channels`).

    Args:
        inverted: whether the two parts change places.
    """

    event_ndims: int

    def __init__(self, *, inverted: bool = False):
        self.inverted = arguments.instance(type(self).__name__, "inverted", inverted, bool)

    @abc.abstractmethod
    def mask(self, event_shape: Shape) -> np.ndarray:
        """Returns a boolean mask, broadcastable to the event; True marks what passes unchanged.

        Raises:
            ValueError: an event of this shape cannot be split.
        """

    def seen_size(self, event_shape: Shape) -> int:
        """Returns the size of the last axis of what the conditioner sees."""
        return event_shape[-1]

    def changed_size(self, event_shape: Shape) -> int:
        """Returns the size of the last axis of what is transformed."""
        return event_shape[-1]

    def split(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Splits `[N, *event]` into what the conditioner sees and what is transformed."""
        mask = self._constant_mask(y)
        return tf.where(mask, y, tf.zeros_like(y)), y

    def merge(self, y: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        """Returns `y` with the transformed part in its place."""
        return tf.where(self._constant_mask(y), y, changed)

    def total(self, log_det: tf.Tensor) -> tf.Tensor:
        """Sums an element-wise log-det over the changed elements only, to `[N]`."""
        kept = tf.where(self._constant_mask(log_det), tf.zeros_like(log_det), log_det)
        return tf.reduce_sum(kept, axis=list(range(1, log_det.shape.rank)))

    def _constant_mask(self, y: tf.Tensor) -> tf.Tensor:
        return tf.constant(self.mask(tuple(y.shape[1:])))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"inverted": self.inverted}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Partition:
        """Makes a partition from `get_config`'s result."""
        return cls(**config)

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        serializable(cls)

    def __repr__(self):
        return f"{type(self).__name__}({'inverted' if self.inverted else ''})"


class Checkerboard(Partition):
    """Pixels of odd `row + column` pass; all channels alike (arXiv:1605.08803, figure 3)."""

    event_ndims = 3

    def mask(self, event_shape: Shape) -> np.ndarray:
        """See `Partition.mask`; `[H, W, 1]`."""
        height, width, _ = event_shape
        if height * width < 2:
            raise ValueError(f"A checkerboard needs at least 2 pixels, got shape {event_shape}.")
        passes = np.not_equal.outer(np.arange(height) % 2, np.arange(width) % 2)
        return (passes ^ self.inverted)[..., None]


class Channels(Partition):
    """The first half of the channels passes."""

    event_ndims = 3

    def mask(self, event_shape: Shape) -> np.ndarray:
        """See `Partition.mask`; `[1, 1, C]`."""
        channels = event_shape[-1]
        if channels < 2:
            raise ValueError(f"A channel split needs at least 2 channels, got shape {event_shape}.")
        return ((np.arange(channels) < channels // 2) ^ self.inverted)[None, None, :]


class _VectorPartition(Partition):
    """Base of partitions that extract the two parts of a vector."""

    event_ndims = 1

    def mask(self, event_shape: Shape) -> np.ndarray:
        """See `Partition.mask`; `[D]`."""
        if event_shape[-1] < 2:
            raise ValueError(
                f"A coupling needs vectors of at least 2 dimensions, got shape {event_shape}."
            )
        return self._passes(event_shape[-1]) ^ self.inverted

    @abc.abstractmethod
    def _passes(self, size: int) -> np.ndarray: ...

    @abc.abstractmethod
    def _parts(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]: ...

    @abc.abstractmethod
    def _join(self, first: tf.Tensor, second: tf.Tensor, size: int) -> tf.Tensor: ...

    def seen_size(self, event_shape: Shape) -> int:
        return int(self.mask(event_shape).sum())

    def changed_size(self, event_shape: Shape) -> int:
        return int((~self.mask(event_shape)).sum())

    def split(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        first, second = self._parts(y)
        return (second, first) if self.inverted else (first, second)

    def merge(self, y: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        first, second = self._parts(y)
        parts = (changed, second) if self.inverted else (first, changed)
        return self._join(*parts, y.shape[-1])

    def total(self, log_det: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(log_det, axis=-1)


class Halves(_VectorPartition):
    """The first `D // 2` coordinates pass."""

    def _passes(self, size):
        return np.arange(size) < size // 2

    def _parts(self, y):
        half = y.shape[-1] // 2
        return y[..., :half], y[..., half:]

    def _join(self, first, second, size):
        return tf.concat([first, second], -1)


class ChannelHalves(Halves):
    """The first `C // 2` channels of an image pass; the conditioner sees them alone.

    `Channels` masks instead: its conditioner sees all channels, those that change as zeros.
    """

    event_ndims = 3

    def mask(self, event_shape: Shape) -> np.ndarray:
        """See `Partition.mask`; `[C]`."""
        if event_shape[-1] < 2:
            raise ValueError(f"A channel split needs at least 2 channels, got shape {event_shape}.")
        return super().mask(event_shape)

    def total(self, log_det: tf.Tensor) -> tf.Tensor:
        """See `Partition.total`."""
        return tf.reduce_sum(log_det, axis=[1, 2, 3])


class PointHalves(Halves):
    """The first `D // 2` coordinates of each point of a set `[P, D]` pass."""

    event_ndims = 2

    def mask(self, event_shape: Shape) -> np.ndarray:
        """See `Partition.mask`; `[D]`."""
        if event_shape[-1] < 2:
            raise ValueError(
                f"A coupling needs points of at least 2 coordinates, got shape {event_shape}."
            )
        return super().mask(event_shape)

    def total(self, log_det: tf.Tensor) -> tf.Tensor:
        """See `Partition.total`."""
        return tf.reduce_sum(log_det, axis=[1, 2])


class Alternating(_VectorPartition):
    """The coordinates of odd index pass."""

    def _passes(self, size):
        return np.arange(size) % 2 == 1

    def _parts(self, y):
        return y[..., 1::2], y[..., 0::2]

    def _join(self, first, second, size):
        odd, even = first, second
        if size % 2:  # one even coordinate more than odd ones: pad, interleave, cut
            odd = tf.pad(odd, [[0, 0]] * (len(odd.shape) - 1) + [[0, 1]])
        pairs = tf.stack([even, odd], axis=-1)
        joined = tf.reshape(pairs, tf.concat([tf.shape(pairs)[:-2], [size + size % 2]], 0))
        return joined[..., :size]
