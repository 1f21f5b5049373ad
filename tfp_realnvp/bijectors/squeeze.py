"""Squeeze: space to channels, in the three orders that the sources use."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core.context import Scope

ORDERS = ("position_major", "channel_major", "alternative")


class Squeeze(FlowBijector):
    """Turns 2x2 blocks of pixels into channels: `[H, W, C]` to `[H/2, W/2, 4C]`.

    Inverse (data to latent) squeezes, forward unsqueezes; a permutation, so the log-det is 0. With
    `p = 2 * row_offset + column_offset`:

    * `"position_major"`: channel `p * C + c` (UvA's, and `tf.nn.space_to_depth`);
    * `"channel_major"`: channel `c * 4 + p` (PyTorch's `pixel_unshuffle`);
    * `"alternative"`: position-major with the positions in the order 0, 3, 1, 2, so that the two
      pixels of each diagonal stay together when the channels are halved (arXiv:1605.08803,
      section 3.6: each half is one colour of the checkerboard).

    Args:
        order: one of the three.
        name: name of the bijector.

    Raises:
        ValueError: an unknown order; at building, an odd side.

    Example:
        >>> from tfp_realnvp.bijectors import Squeeze
        >>> Squeeze().build((28, 28, 1))
        (14, 14, 4)
    """

    def __init__(self, *, order: str = "position_major", name: str | None = None):
        super().__init__(data_ndims=3, name=name)
        if order not in ORDERS:
            raise ValueError(f"Unknown squeeze order {order!r}; the orders are {ORDERS}.")
        self.order = order

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self._latent_shape(event_shape)

    def _latent_shape(self, data_shape: Shape) -> Shape:
        height, width, channels = data_shape
        if height % 2 or width % 2:
            raise ValueError(
                f"A squeeze needs even height and width, got events of shape {data_shape}."
            )
        return height // 2, width // 2, 4 * channels

    def _data_shape(self, latent_shape: Shape) -> Shape:
        height, width, channels = latent_shape
        if channels % 4:
            raise ValueError(
                f"An unsqueeze needs a multiple of 4 channels, got events of shape {latent_shape}."
            )
        return 2 * height, 2 * width, channels // 4

    def _permutation(self, channels: int) -> np.ndarray | None:
        """Returns where each output channel comes from among the position-major ones."""
        position_major = np.arange(4 * channels).reshape(4, channels)
        if self.order == "position_major" or (self.order == "channel_major" and channels == 1):
            return None
        if self.order == "channel_major":
            return position_major.T.reshape(-1)
        return position_major[[0, 3, 1, 2]].reshape(-1)

    def _inverse_and_log_det(self, y, context):
        permutation = self._permutation(y.shape[-1])
        x = tf.nn.space_to_depth(y, 2)
        if permutation is not None:
            x = tf.gather(x, permutation, axis=-1)
        return x, _zeros(y)

    def _forward_and_log_det(self, x, context):
        permutation = self._permutation(x.shape[-1] // 4)
        latent = x
        if permutation is not None:
            x = tf.gather(x, np.argsort(permutation), axis=-1)
        return tf.nn.depth_to_space(x, 2), _zeros(latent)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"order": self.order}


class Unsqueeze(FlowBijector):
    """Turns channels back into space, data to latent: `[H, W, 4C]` to `[2H, 2W, C]`.

    The inverse of `Squeeze` as a member of its own; log-det 0. RealNVP goes back after its
    channel couplings, and squeezes in another order for the factor-out.

    Args:
        order: one of the three of `Squeeze`.
        name: name of the bijector.

    Raises:
        ValueError: an unknown order; at building, channels that are no multiple of 4.

    Example:
        >>> from tfp_realnvp.bijectors import Unsqueeze
        >>> Unsqueeze().build((14, 14, 4))
        (28, 28, 1)
    """

    def __init__(self, *, order: str = "position_major", name: str | None = None):
        super().__init__(data_ndims=3, name=name)
        self._squeeze = self._no_dependency(Squeeze(order=order))
        self.order = order

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self._latent_shape(event_shape)

    def _latent_shape(self, data_shape: Shape) -> Shape:
        return self._squeeze._data_shape(data_shape)

    def _data_shape(self, latent_shape: Shape) -> Shape:
        return self._squeeze._latent_shape(latent_shape)

    def _inverse_and_log_det(self, y, context):
        return self._squeeze._forward_and_log_det(y, context)

    def _forward_and_log_det(self, x, context):
        return self._squeeze._inverse_and_log_det(x, context)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"order": self.order}


def _zeros(value: tf.Tensor) -> tf.Tensor:
    return tf.zeros(tf.shape(value)[:1], value.dtype)
