"""Flatten: the latent image as one vector."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core import arguments


class Flatten(FlowBijector):
    """Reshapes `[H, W, C]` (data side) to `[H*W*C]` (latent side), row-major; log-det 0.

    Args:
        ndims: rank of the event on the data side, 3 for images.
        name: name of the bijector.

    Example:
        >>> from tfp_realnvp.bijectors import Flatten
        >>> Flatten().build((4, 4, 3))
        (48,)
    """

    def __init__(self, *, ndims: int = 3, name: str | None = None):
        ndims = arguments.whole("Flatten", "ndims", ndims)
        super().__init__(data_ndims=ndims, latent_ndims=1, name=name)

    def _latent_shape(self, data_shape: Shape) -> Shape:
        return (math.prod(data_shape),)

    def _data_shape(self, latent_shape: Shape) -> Shape:
        return checked_flat(self, latent_shape)

    def _inverse_and_log_det(self, y, context):
        return tf.reshape(y, (-1, math.prod(y.shape[1:]))), tf.zeros(tf.shape(y)[:1], y.dtype)

    def _forward_and_log_det(self, x, context):
        return tf.reshape(x, (-1, *self.event_shape)), tf.zeros(tf.shape(x)[:1], x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"ndims": self.inverse_min_event_ndims}


def checked_flat(bijector: FlowBijector, latent_shape: Shape) -> Shape:
    """Returns the event shape that a bijector to flat latents was built for.

    Raises:
        ValueError: it is not built, or for latents of another size.
    """
    size = math.prod(bijector.event_shape)
    if latent_shape != (size,):
        raise ValueError(
            f"{bijector.name} was built for latents of shape {(size,)}, got {latent_shape}."
        )
    return bijector.event_shape
