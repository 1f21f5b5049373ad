"""Radial flow: space is stretched around a point, or drawn towards it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.given import weights_of_rows
from tfp_realnvp.bijectors.planar import OFFSET
from tfp_realnvp.core.context import Scope


class Radial(FlowBijector):
    r"""Radial flow (arXiv:1505.05770).

    With a centre `c`, a reach `alpha > 0` and a strength `beta > -alpha`, by which
    `m = alpha + beta > 0`, and the distance `r = |x - c|`:

    * forward (latent to data, as in the paper): `y = x + beta / (alpha + r) (x - c)`;
    * forward log-det: `(D - 1) log((m + r) / (alpha + r)) + log(1 + alpha beta / (alpha + r)^2)`;
    * inverse: the distance `s = |y - c|` decides. It is `s = r (m + r) / (alpha + r)`, of which `r`
      is the one root that is not negative, `r = (s - m + sqrt((s - m)^2 + 4 alpha s)) / 2`; then
      `x = c + (alpha + r) / (m + r) (y - c)`.

    The map is invertible by construction: `alpha = exp(a)` and `m = alpha softplus(v + log(e - 1))`
    with free `a` and `v`. A flow with labels has `c`, `a` and `v` per class; to them is added what
    is linear in the vector of a condition, from 0 on.

    Args:
        name: name of the bijector.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Radial
        >>> radial = Radial()
        >>> y = np.ones([3, 2], "float32")
        >>> bool(np.allclose(radial.forward(radial.inverse(y)), y))
        True
    """

    def __init__(self, *, name: str | None = None):
        super().__init__(data_ndims=1, name=name)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        scope.refuse_condition_of_places("a radial flow")
        rows, size = scope.num_classes or 1, event_shape[0]
        self.centre = self.weight("centre", (rows, size), keras.initializers.RandomNormal(stddev=1))
        self.log_reach = self.weight("log_reach", (rows, 1))
        self.free = self.weight("free", (rows, 1))
        self.of_vector: Any = None
        if scope.vector_size:
            self.of_vector = self.weight("of_vector", (scope.vector_size, size + 2))

    @property
    def is_conditional(self) -> bool:
        """See `FlowBijector.is_conditional`."""
        return self._scope.is_conditional

    def _forward_and_log_det(self, x, context):
        centre, alpha, margin = self._constrained(context)
        r = _length(x - centre)
        y = centre + (margin + r) / (alpha + r) * (x - centre)
        return y, _log_det(r, alpha, margin, x.shape[-1])

    def _inverse_and_log_det(self, y, context):
        centre, alpha, margin = self._constrained(context)
        s = _length(y - centre)
        root = tf.sqrt(tf.square(s - margin) + 4 * alpha * s)
        # The same number in two ways, each without a difference of near numbers on its side.
        r = tf.where(
            s > margin,
            (root + (s - margin)) / 2,
            2 * alpha * s / (root + tf.abs(s - margin)),
        )
        x = centre + (alpha + r) / (margin + r) * (y - centre)
        return x, -_log_det(r, alpha, margin, y.shape[-1])

    def _constrained(self, context):
        """Returns c `[N or 1, D]`, alpha and `alpha + beta`, both `[N or 1, 1]`."""
        tables = self.centre, self.log_reach, self.free
        centre, log_reach, free = weights_of_rows(self, tables, self.of_vector, context)
        alpha = tf.exp(log_reach)
        return centre, alpha, alpha * tf.nn.softplus(free + OFFSET)


def _length(value: tf.Tensor) -> tf.Tensor:
    """Returns lengths `[N, 1]`, which have a gradient at 0 too."""
    square = tf.reduce_sum(tf.square(value), -1, keepdims=True)
    return tf.sqrt(tf.maximum(square, np.finfo(value.dtype.as_numpy_dtype).tiny))


def _log_det(r: tf.Tensor, alpha: tf.Tensor, margin: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the forward log-det `[N]`, of sums of positive terms, which lose no digits."""
    across = tf.math.log((margin + r) / (alpha + r))
    along = tf.math.log((r * (r + 2 * alpha) + margin * alpha) / tf.square(alpha + r))
    return ((size - 1) * across + along)[:, 0]
