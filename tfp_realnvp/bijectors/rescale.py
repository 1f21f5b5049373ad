"""Rescale: a bounded interval brought to one around 0, a fixed affine map."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector
from tfp_realnvp.core import arguments


class Rescale(FlowBijector):
    """Maps the interval `[low, high]` to `[-radius, radius]`, element by element.

    * inverse (data to latent): `x = 2 radius ((y - low) / (high - low) - 1/2)`;
    * forward: `y = low + (high - low) (x / (2 radius) + 1/2)`;
    * inverse log-det: `-D log((high - low) / (2 radius))`, `D` the number of elements.

    Glow's way to the reals (arXiv:1807.03039), where RealNVP takes a logit: what the flow puts
    outside the interval is lost, but nothing is stretched.

    Args:
        low: lower end of the interval.
        high: upper end, for images the number of levels.
        radius: half of the length of the interval around 0.
        ndims: rank of the event, 3 for images.
        name: name of the bijector.

    Raises:
        ValueError: an interval that is empty or not finite, or no positive radius.

    Example:
        >>> from tfp_realnvp.bijectors import Rescale
        >>> float(Rescale(high=256.0, ndims=1).inverse([[192.0]])[0, 0])
        0.25
    """

    def __init__(
        self,
        *,
        low: float = 0.0,
        high: float = 1.0,
        radius: float = 0.5,
        ndims: int = 3,
        name: str | None = None,
    ):
        super().__init__(data_ndims=arguments.whole("Rescale", "ndims", ndims), name=name)
        self.low, self.high = arguments.interval("Rescale", low, high)
        self.radius = arguments.real("Rescale", "radius", radius, above=0)
        self._unit = (self.high - self.low) / (2 * self.radius)

    def _inverse_and_log_det(self, y, context):
        return (y - self.low) * (1.0 / self._unit) - self.radius, -self._log_det(y)

    def _forward_and_log_det(self, x, context):
        return self.low + (x + self.radius) * self._unit, self._log_det(x)

    def _log_det(self, value: tf.Tensor) -> tf.Tensor:
        log_det = math.prod(value.shape[1:]) * math.log(self._unit)
        return tf.fill(tf.shape(value)[:1], tf.constant(log_det, value.dtype))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "low": self.low,
            "high": self.high,
            "radius": self.radius,
            "ndims": self.inverse_min_event_ndims,
        }
