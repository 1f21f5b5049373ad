"""Standardize: data brought to zero mean and unit variance, as the first sight of them says."""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.bijectors.affine_from_data import AffineFromData


class Standardize(AffineFromData):
    """A fixed affine map per coordinate, set from data before training.

    * inverse (data to latent): `x = (y - mean) / scale`; forward: `y = mean + scale * x`;
    * inverse log-det: `-sum log scale`.

    Until `initialize` has seen data it is the identity. Mean and scale are saved with the flow and
    are not trained.

    Args:
        name: name of the bijector.

    Raises:
        ValueError: `initialize` got no data, or data that the flow's dtype cannot hold or scale.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Standardize
        >>> bijector = Standardize()
        >>> bijector.initialize(np.array([[1000.0], [3000.0]]))
        >>> bijector.inverse([[3000.0]]).numpy().round(3).tolist()
        [[1.0]]
    """

    shift_name, trained = "mean", False

    def __init__(self, *, name: str | None = None):
        super().__init__(data_ndims=1, name=name)

    def _shift_and_log_scale_of(self, mean, log_std):
        return mean, log_std

    def _inverse_and_log_det(self, y, context):
        log_det = tf.fill(tf.shape(y)[:1], -tf.reduce_sum(self.log_scale))
        return (y - self.shift) * tf.exp(-self.log_scale), log_det

    def _forward_and_log_det(self, x, context):
        log_det = tf.fill(tf.shape(x)[:1], tf.reduce_sum(self.log_scale))
        return self.shift + x * tf.exp(self.log_scale), log_det
