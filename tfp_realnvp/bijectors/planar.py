"""Planar flow: space is stretched along one direction, by a bump across another."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.given import weights_of_rows
from tfp_realnvp.bijectors.root import increasing_root
from tfp_realnvp.core.context import Scope

# softplus(OFFSET) = 1: a free vector u of 0 is the identity.
OFFSET = math.log(math.e - 1)


class Planar(FlowBijector):
    r"""Planar flow (arXiv:1505.05770), with `h = tanh`.

    * forward (latent to data, as in the paper): `y = x + u h(t)` with `t = w.x + b`;
    * forward log-det: `log(1 + w.u h'(t))`;
    * inverse: along `w` one number decides, the root of `t + w.u h(t) = w.y + b`, which lies
      within `|w.u|` of the right-hand side; it is found to float precision, and
      `x = y - u h(t)`. Gradients are those of the implicit function.

    The map is invertible as long as `w.u > -1`. That holds by construction: the part of the free
    vector `v` along `w` is replaced, `u = v + (m(w.v) - w.v) w / |w|^2` with
    `m(a) = softplus(a + log(e - 1)) - 1`. A flow with labels has `v`, `w` and `b` per class; to
    them is added what is linear in the vector of a condition, from 0 on.

    Args:
        name: name of the bijector.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Planar
        >>> planar = Planar()
        >>> y = np.ones([3, 2], "float32")
        >>> bool(np.allclose(planar.forward(planar.inverse(y)), y))
        True
    """

    def __init__(self, *, name: str | None = None):
        super().__init__(data_ndims=1, name=name)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        scope.refuse_condition_of_places("a planar flow")
        rows, size = scope.num_classes or 1, event_shape[0]
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.free = self.weight("weights/along", (rows, size), "zeros")
        self.across = self.weight("weights/across", (rows, size), normal)
        self.bias = self.weight("weights/bias", (rows, 1), normal)
        self.of_vector: Any = None
        if scope.vector_size:
            self.of_vector = self.weight("weights/of_vector", (scope.vector_size, 2 * size + 1))

    @property
    def is_conditional(self) -> bool:
        """See `FlowBijector.is_conditional`."""
        return self._scope.is_conditional

    def _forward_and_log_det(self, x, context):
        along, across, bias, margin = self._constrained(context)
        t = tf.reduce_sum(across * x, -1) + bias
        return x + along * tf.tanh(t)[:, None], tf.math.log(_slope(t, margin))

    def _inverse_and_log_det(self, y, context):
        along, across, bias, margin = self._constrained(context)
        target = tf.reduce_sum(across * y, -1) + bias
        reach = tf.abs(margin - 1) * (1 + 1e-3) + tf.abs(target) * 1e-3
        t = increasing_root(
            _projection,
            target,
            target - reach,
            target + reach,
            margin,
        )
        return y - along * tf.tanh(t)[:, None], -tf.math.log(_slope(t, margin))

    def _constrained(self, context):
        """Returns u and w `[N or 1, D]`, b and `1 + w.u`, `[N or 1]`."""
        tables = self.free, self.across, self.bias
        free, across, bias = weights_of_rows(self, tables, self.of_vector, context)
        product = tf.reduce_sum(across * free, -1)
        margin = tf.nn.softplus(product + OFFSET)
        square = tf.reduce_sum(tf.square(across), -1)
        tiny = tf.constant(square.dtype.as_numpy_dtype(1e-30))
        move = (margin - 1 - product) / tf.maximum(square, tiny)
        return free + move[:, None] * across, across, bias[:, 0], margin


def _projection(t: tf.Tensor, margin: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `w.y + b` of `t = w.x + b`, and its derivative."""
    return t + (margin - 1) * tf.tanh(t), _slope(t, margin)


def _slope(t: tf.Tensor, margin: tf.Tensor) -> tf.Tensor:
    """Returns `1 + w.u h'(t)` as a sum of positive terms, which loses no digits near 0."""
    square = tf.square(tf.tanh(t))
    return margin * (4 * tf.sigmoid(2 * t) * tf.sigmoid(-2 * t)) + square
