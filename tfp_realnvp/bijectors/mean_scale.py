"""MeanScale: what the points of a set have in common, stretched apart from how they differ."""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core.context import Scope


class MeanScale(FlowBijector):
    """A linear map of a set `[P, D]` that treats all points alike (arXiv:1902.01967).

    With the mean `m` of a set and a log-scale `s` per coordinate, which starts from 0:

    * inverse (data to latent): `x_p = y_p + (exp(s) - 1) m(y)`: the mean is multiplied by `exp(s)`,
      and what each point adds to it stays;
    * forward: `y_p = x_p + (exp(-s) - 1) m(x)`;
    * inverse log-det: `sum s`, of the one direction in which a coordinate of all points moves.

    Couplings over the coordinates change one by the others: by themselves they do not see what one
    coordinate has in common in all points.

    Args:
        name: name of the bijector.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import MeanScale
        >>> MeanScale().inverse(np.ones([3, 5, 2], "float32")).shape
        TensorShape([3, 5, 2])
    """

    def __init__(self, *, name: str | None = None):
        super().__init__(data_ndims=2, name=name)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self.log_scale = self.weight("log_scale", event_shape[-1:])

    def _inverse_and_log_det(self, y, context):
        return self._stretched(y, self.log_scale)

    def _forward_and_log_det(self, x, context):
        return self._stretched(x, -self.log_scale)

    def _stretched(self, value, log_scale):
        mean = tf.reduce_mean(value, 1, keepdims=True)
        log_det = tf.fill(tf.shape(value)[:1], tf.reduce_sum(log_scale))
        return value + tf.math.expm1(log_scale) * mean, log_det
