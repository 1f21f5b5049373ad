"""Standardize: data brought to zero mean and unit variance, as the first sight of them says."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.context import Scope


class Standardize(FlowBijector):
    """A fixed affine map per coordinate, set from data before training.

    * inverse (data to latent): `x = (y - mean) / scale`; forward: `y = mean + scale * x`;
    * inverse log-det: `-sum log scale`.

    Until `initialize` has seen data it is the identity. Mean and scale are saved with the flow and
    are not trained.

    Args:
        name: name of the bijector.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Standardize
        >>> bijector = Standardize()
        >>> bijector.initialize(np.array([[1000.0], [3000.0]]))
        >>> bijector.inverse([[3000.0]]).numpy().round(3).tolist()
        [[1.0]]
    """

    def __init__(self, *, name: str | None = None):
        super().__init__(data_ndims=1, name=name)
        self._moments: _Moments

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self._moments = _Moments(dtype=scope.dtype, name=scope.path.replace("/", "."))
        self._moments.build((None, *event_shape))
        self._track(self._moments)

    @property
    def needs_data(self) -> bool:
        """Whether `initialize` has not run yet."""
        return self._built_for is None or not bool(self._moments.initialized.numpy())

    def _initialize(self, y, context):
        data = y.numpy().astype(np.float64)
        mean, scale = data.mean(0), data.std(0)
        # A coordinate that never varies has no scale: leave it as it is.
        scale = np.where(scale > 1e-6 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
        self._moments.mean.assign(mean)
        self._moments.log_scale.assign(np.log(scale))
        self._moments.initialized.assign(1)

    def _inverse_and_log_det(self, y, context):
        mean, log_scale = self._moments.mean.value, self._moments.log_scale.value
        log_det = tf.fill(tf.shape(y)[:1], -tf.reduce_sum(log_scale))
        return (y - mean) * tf.exp(-log_scale), log_det

    def _forward_and_log_det(self, x, context):
        mean, log_scale = self._moments.mean.value, self._moments.log_scale.value
        log_det = tf.fill(tf.shape(x)[:1], tf.reduce_sum(log_scale))
        return mean + x * tf.exp(log_scale), log_det


class _Moments(keras.layers.Layer):
    """Holds the statistics, so that Keras saves them."""

    def build(self, input_shape: Any) -> None:
        def hold(name, shape, dtype=None):
            return self.add_weight(
                shape=shape, initializer="zeros", trainable=False, name=name, dtype=dtype
            )

        self.mean = hold("mean", input_shape[1:])
        self.log_scale = hold("log_scale", input_shape[1:])
        self.initialized = hold("initialized", (), "int32")
        self.built = True
