"""Scale: each coordinate stretched by a number of its own."""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core.context import Scope


class Scale(FlowBijector):
    """A learned diagonal map of a vector (NICE, arXiv:1410.8516, section 3.3).

    With a log-scale `s` per coordinate, which starts from 0:

    * inverse (data to latent): `x = y * exp(s)`; forward: `y = x * exp(-s)`;
    * inverse log-det: `sum s`.

    Behind couplings that keep volumes, it says which coordinates vary and which hardly do.

    Args:
        name: name of the bijector.

    Example:
        >>> from tfp_realnvp.bijectors import Scale
        >>> Scale().inverse([[1.0, 2.0]]).numpy().tolist()
        [[1.0, 2.0]]
    """

    def __init__(self, *, name: str | None = None):
        super().__init__(data_ndims=1, name=name)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self.log_scale = self.weight("log_scale", event_shape)

    def _inverse_and_log_det(self, y, context):
        log_det = tf.fill(tf.shape(y)[:1], tf.reduce_sum(self.log_scale))
        return y * tf.exp(self.log_scale), log_det

    def _forward_and_log_det(self, x, context):
        log_det = tf.fill(tf.shape(x)[:1], -tf.reduce_sum(self.log_scale))
        return x * tf.exp(-self.log_scale), log_det
