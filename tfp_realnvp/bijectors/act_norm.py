"""ActNorm: a trainable affine map per channel that starts from the first data it sees."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp import arguments
from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.context import Scope


class ActNorm(FlowBijector):
    """Activation normalization (arXiv:1807.03039, section 3.1).

    With a trainable bias `b` and log-scale `s` per channel (per coordinate of a vector):

    * inverse (data to latent): `x = (y + b) * exp(s)`; forward: `y = x * exp(-s) - b`;
    * inverse log-det: `P sum_c s_c`, `P` the number of pixels.

    `initialize` sets `b` and `s` so that the latent side of a first batch has mean 0 and
    variance 1 per channel; `FlowModel.fit` calls it, `Flow.initialize` does so elsewhere. Before
    that, both directions are refused. A saved flow comes back initialized.

    Args:
        ndims: rank of the event, 3 for images and 1 for vectors.
        name: name of the bijector.

    Raises:
        ValueError: at its use, when it has not been initialized.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import ActNorm
        >>> norm = ActNorm(ndims=1)
        >>> norm.initialize(np.array([[1.0], [3.0]]))
        >>> norm.inverse([[3.0]]).numpy().round(3).tolist()
        [[1.0]]
    """

    def __init__(self, *, ndims: int = 3, name: str | None = None):
        super().__init__(data_ndims=arguments.whole("ActNorm", "ndims", ndims), name=name)
        self._affine: _ChannelAffine
        self._ready = False

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self._affine = _ChannelAffine(dtype=scope.dtype, name=scope.path.replace("/", "."))
        self._affine.build((None, *event_shape))
        self._track(self._affine)

    @property
    def needs_data(self) -> bool:
        """Whether `initialize` has not run yet."""
        # The variable is read until it says yes, and never again: a graph reads nothing.
        if not self._ready and self._built_for is not None:
            with tf.init_scope():
                self._ready = bool(np.asarray(self._affine.initialized))
        return not self._ready

    def _initialize(self, y, context):
        flat = y.numpy().astype(np.float64).reshape(-1, y.shape[-1])
        scale = flat.std(0)
        # A channel that never varies has no scale: leave it as it is.
        scale = np.where(scale > 1e-6 * np.maximum(1.0, np.abs(flat.mean(0))), scale, 1.0)
        self._affine.bias.assign(-flat.mean(0))
        self._affine.log_scale.assign(-np.log(scale))
        self._affine.initialized.assign(1)

    def _inverse_and_log_det(self, y, context):
        bias, log_scale = self._bias_and_log_scale()
        return (y + bias) * tf.exp(log_scale), self._log_det(y, log_scale)

    def _forward_and_log_det(self, x, context):
        bias, log_scale = self._bias_and_log_scale()
        return x * tf.exp(-log_scale) - bias, self._log_det(x, -log_scale)

    def _bias_and_log_scale(self) -> tuple[tf.Tensor, tf.Tensor]:
        if self.needs_data:
            raise ValueError(
                f"{self._scope.path} starts from data and has seen none: call initialize(data) "
                "on the flow first, or train with FlowModel.fit, which does."
            )
        return self._affine.bias.value, self._affine.log_scale.value

    def _log_det(self, value: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
        pixels = math.prod(value.shape[1:-1])
        return tf.fill(tf.shape(value)[:1], pixels * tf.reduce_sum(log_scale))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"ndims": self.inverse_min_event_ndims}


class _ChannelAffine(keras.layers.Layer):
    """Holds bias, log-scale and whether they are set, so that Keras trains and saves them."""

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1:]
        self.bias = self.add_weight(shape=channels, initializer="zeros", name="bias")
        self.log_scale = self.add_weight(shape=channels, initializer="zeros", name="log_scale")
        self.initialized = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="initialized", dtype="int32"
        )
        self.built = True
