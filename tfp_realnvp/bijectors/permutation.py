"""Permutation of the coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core.context import Scope, stable_hash

ORDERS = ("reverse", "random")


class Permutation(FlowBijector):
    """A fixed permutation `p` of the coordinates of a vector.

    * inverse (data to latent): `x_i = y_{p(i)}`; forward: `y_{p(i)} = x_i`; log-det 0.

    Args:
        order: `"reverse"`, or `"random"`: drawn from the flow's seed and the bijector's path.
        name: name of the bijector.

    Raises:
        ValueError: an unknown order.

    Example:
        >>> from tfp_realnvp.bijectors import Permutation
        >>> Permutation().inverse([[1.0, 2.0, 3.0]]).numpy().tolist()
        [[3.0, 2.0, 1.0]]
    """

    def __init__(self, *, order: str = "reverse", name: str | None = None):
        super().__init__(data_ndims=1, name=name)
        if order not in ORDERS:
            raise ValueError(f"Unknown order {order!r} of a permutation; the orders are {ORDERS}.")
        self.order = order
        self._indices: np.ndarray

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        indices = np.arange(event_shape[0])
        if self.order == "reverse":
            self._indices = indices[::-1].copy()
        else:
            self._indices = np.random.default_rng(
                stable_hash(f"{scope.seed}/{scope.path}")
            ).permutation(indices)

    def _inverse_and_log_det(self, y, context):
        return tf.gather(y, self._indices, axis=-1), tf.zeros(tf.shape(y)[:1], y.dtype)

    def _forward_and_log_det(self, x, context):
        y = tf.gather(x, np.argsort(self._indices), axis=-1)
        return y, tf.zeros(tf.shape(x)[:1], x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"order": self.order}
