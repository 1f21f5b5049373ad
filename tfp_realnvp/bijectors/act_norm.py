"""ActNorm: a trainable affine map per channel that starts from the first data it sees."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.affine_from_data import AffineFromData
from tfp_realnvp.core import arguments


class ActNorm(AffineFromData):
    """Activation normalization (arXiv:1807.03039, section 3.1).

    With a trainable bias `b` and log-scale `s` per channel (per coordinate of a vector):

    * inverse (data to latent): `x = (y + b) * exp(s)`; forward: `y = x * exp(-s) - b`;
    * inverse log-det: `P sum_c s_c`, `P` the number of pixels.

    In Flow++ (arXiv:1902.00275) each pixel has its own `b` and `s` per channel.

    `initialize` sets `b` and `s` so that the latent side of a first batch has mean 0 and
    variance 1 per channel; `FlowModel.fit` calls it, `Flow.initialize` does so elsewhere. Until
    then both are 0 and the map is the identity. A saved flow comes back initialized.

    Args:
        ndims: rank of the event, 3 for images and 1 for vectors.
        elementwise: whether each element of the event has its own bias and log-scale.
        name: name of the bijector.

    Raises:
        ValueError: `initialize` got no data, or data that the flow's dtype cannot hold or scale.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import ActNorm
        >>> norm = ActNorm(ndims=1)
        >>> norm.initialize(np.array([[1.0], [3.0]]))
        >>> norm.inverse([[3.0]]).numpy().round(3).tolist()
        [[1.0]]
    """

    shift_name, trained = "bias", True

    def __init__(self, *, ndims: int = 3, elementwise: bool = False, name: str | None = None):
        super().__init__(data_ndims=arguments.whole("ActNorm", "ndims", ndims), name=name)
        self.elementwise = arguments.instance("ActNorm", "elementwise", elementwise, bool)

    def _shift_and_log_scale_of(self, mean, log_std):
        return -mean, -log_std

    def _inverse_and_log_det(self, y, context):
        return (y + self.shift) * tf.exp(self.log_scale), self._log_det(y, self.log_scale)

    def _forward_and_log_det(self, x, context):
        return x * tf.exp(-self.log_scale) - self.shift, self._log_det(x, -self.log_scale)

    def _log_det(self, value: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
        pixels = math.prod(value.shape[1:]) // math.prod(log_scale.shape)
        return tf.fill(tf.shape(value)[:1], pixels * tf.reduce_sum(log_scale))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"ndims": self.inverse_min_event_ndims, "elementwise": self.elementwise}
