"""Squeeze: space to channels, in the orders that the sources use."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope

ORDERS = ("position_major", "channel_major", "alternative", "columns")


class Squeeze(FlowBijector):
    """Turns SxS blocks of pixels into channels: `[H, W, C]` to `[H/S, W/S, S*S*C]`, S = 2 or more.

    Inverse (data to latent) squeezes, forward unsqueezes; a permutation, so the log-det is 0. With
    `p = S * row_offset + column_offset`:

    * `"position_major"`: channel `p * C + c` (UvA's, and `tf.nn.space_to_depth`);
    * `"channel_major"`: channel `c * S * S + p` (PyTorch's `pixel_unshuffle`);
    * `"alternative"`, for 2x2 blocks alone: position-major with the positions in the order 0, 3, 1,
      2, so that the two pixels of each diagonal stay together when the channels are halved
      (arXiv:1605.08803, section 3.6: each half is one colour of the checkerboard).

    One order takes blocks of 1x2 pixels, `[H, W, C]` to `[H, W/2, 2C]`:

    * `"columns"`: channel `column_offset * C + c`, so that each half of the channels is every
      other column (what the authors of Flow++, arXiv:1902.00275, take for a checkerboard).

    Args:
        order: one of the four.
        side: side S of the blocks; 2 where they are of columns.
        name: name of the bijector.

    Raises:
        ValueError: an unknown order, or one that blocks of this side do not have; at building,
            sides of the image that the block's does not divide.

    Example:
        >>> from tfp_realnvp.bijectors import Squeeze
        >>> Squeeze().build((28, 28, 1))
        (14, 14, 4)
        >>> Squeeze(side=4).build((28, 28, 1))
        (7, 7, 16)
    """

    def __init__(self, *, order: str = "position_major", side: int = 2, name: str | None = None):
        super().__init__(data_ndims=3, name=name)
        if order not in ORDERS:
            raise ValueError(f"Unknown squeeze order {order!r}; the orders are {ORDERS}.")
        self.side = arguments.whole("Squeeze", "side", side, least=2)
        if order in ("alternative", "columns") and self.side != 2:
            raise ValueError(f"The {order} order is of blocks of side 2, got side={side}.")
        self.order = order

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self._latent_shape(event_shape)

    def _latent_shape(self, data_shape: Shape) -> Shape:
        height, width, channels = data_shape
        rows, columns = self._block
        if height % rows or width % columns:
            kind = f"multiples of {columns} as sides"
            if columns == 2:
                kind = "even height and width" if rows == 2 else "an even width"
            raise ValueError(f"A squeeze needs {kind}, got events of shape {data_shape}.")
        return height // rows, width // columns, rows * columns * channels

    def _data_shape(self, latent_shape: Shape) -> Shape:
        height, width, channels = latent_shape
        rows, columns = self._block
        area = rows * columns
        if channels % area:
            raise ValueError(
                f"An unsqueeze needs a multiple of {area} channels, got events of shape "
                f"{latent_shape}."
            )
        return rows * height, columns * width, channels // area

    @property
    def _block(self) -> tuple[int, int]:
        """The rows and columns of pixels that become channels."""
        return (1, 2) if self.order == "columns" else (self.side, self.side)

    def _permutation(self, channels: int) -> np.ndarray | None:
        """Returns where each output channel comes from among the position-major ones."""
        position_major = np.arange(self.side**2 * channels).reshape(-1, channels)
        if self.order == "position_major" or (self.order == "channel_major" and channels == 1):
            return None
        if self.order == "channel_major":
            return position_major.T.reshape(-1)
        return position_major[[0, 3, 1, 2]].reshape(-1)

    def _condition_beyond(self, condition):
        return self._inverse_and_log_det(condition, None)[0]

    def _inverse_and_log_det(self, y, context):
        if self.order == "columns":  # they are channels already, as memory has them
            return tf.reshape(y, [-1, *self._latent_shape(tuple(y.shape[1:]))]), _zeros(y)
        permutation = self._permutation(y.shape[-1])
        x = tf.nn.space_to_depth(y, self.side)
        if permutation is not None:
            x = tf.gather(x, permutation, axis=-1)
        return x, _zeros(y)

    def _forward_and_log_det(self, x, context):
        if self.order == "columns":
            return tf.reshape(x, [-1, *self._data_shape(tuple(x.shape[1:]))]), _zeros(x)
        permutation = self._permutation(x.shape[-1] // self.side**2)
        latent = x
        if permutation is not None:
            x = tf.gather(x, np.argsort(permutation), axis=-1)
        return tf.nn.depth_to_space(x, self.side), _zeros(latent)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"order": self.order, "side": self.side}


class Unsqueeze(FlowBijector):
    """Turns channels back into space, data to latent: `[H, W, 4C]` to `[2H, 2W, C]`.

    The inverse of `Squeeze` as a member of its own; log-det 0. RealNVP goes back after its
    channel couplings, and squeezes in another order for the factor-out.

    Args:
        order: one of those of `Squeeze`.
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

    def _condition_beyond(self, condition):
        rows, columns = self._squeeze._block
        if condition.shape[-1] % (rows * columns):  # it was never squeezed
            return tf.repeat(tf.repeat(condition, rows, axis=1), columns, axis=2)
        return self._squeeze._forward_and_log_det(condition, None)[0]

    def _inverse_and_log_det(self, y, context):
        return self._squeeze._forward_and_log_det(y, context)

    def _forward_and_log_det(self, x, context):
        return self._squeeze._inverse_and_log_det(x, context)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"order": self.order}


def _zeros(value: tf.Tensor) -> tf.Tensor:
    return tf.zeros(tf.shape(value)[:1], value.dtype)
