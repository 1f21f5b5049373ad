"""Logit: from a bounded interval to the reals, with symmetric shrinkage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope


class Logit(FlowBijector):
    r"""Maps the interval `(low, high)` to the reals, element by element.

    With `p = (y - low) / (high - low)` and `s = alpha/2 + (1 - alpha) p`, so that both ends keep
    their distance from 0 and 1:

    * inverse (data to latent): `x = log s - log(1 - s)`;
    * forward: `y = low + (high - low) (sigmoid(x) - alpha/2) / (1 - alpha)`;
    * inverse log-det: `sum log(1 - alpha) - log(high - low) - log s - log(1 - s)`.

    `alpha` is 1e-5 in the UvA tutorial; RealNVP's `0.05 + 0.9 p` is `alpha = 0.1`. Sampling may
    land up to `alpha/2` of the range outside the interval: the quantizer clips.

    With `alpha = 0` the ends of the interval go to minus and plus infinity, and their density is 0.
    Dequantized pixels reach both ends: behind a dequantizer alpha has to be above 0.

    Args:
        low: lower end of the interval.
        high: upper end, for images the number of levels.
        alpha: total shrinkage, in `[0, 1)`.
        ndims: rank of the event, 3 for images.
        name: name of the bijector.

    Raises:
        ValueError: an interval that is empty or not finite, or alpha out of range; at building, an
            alpha that the flow's dtype takes for 0.

    Example:
        >>> from tfp_realnvp.bijectors import Logit
        >>> float(Logit(high=1.0, ndims=1).inverse([[0.5]])[0, 0])
        0.0
    """

    def __init__(
        self,
        *,
        low: float = 0.0,
        high: float = 1.0,
        alpha: float = 1e-5,
        ndims: int = 3,
        name: str | None = None,
    ):
        super().__init__(data_ndims=arguments.whole("Logit", "ndims", ndims), name=name)
        self.low, self.high = arguments.interval("Logit", low, high)
        self.alpha = arguments.real("Logit", "alpha", alpha, least=0, below=1)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        least = 2 * float(np.finfo(scope.dtype).tiny)
        if 0 < self.alpha < least:
            raise ValueError(
                f"{scope.path} needs alpha to be 0 or at least {least:.2g}, the least number that "
                f"{scope.dtype} halves without loss, got {self.alpha!r}."
            )

    @property
    def _log_slope(self) -> float:
        return math.log1p(-self.alpha) - math.log(self.high - self.low)

    def _inverse_and_log_det(self, y, context):
        # 1 - s is computed from the upper end, not from s: near it, s has no digits left.
        scale = (1 - self.alpha) / (self.high - self.low)
        log_s = tf.math.log((y - self.low) * scale + self.alpha / 2)
        log_rest = tf.math.log((self.high - y) * scale + self.alpha / 2)
        return log_s - log_rest, self._sum(self._log_slope - log_s - log_rest)

    def _forward_and_log_det(self, x, context):
        scale = (self.high - self.low) / (1 - self.alpha)
        y = self.low + (tf.sigmoid(x) - self.alpha / 2) * scale
        log_slope = tf.math.log_sigmoid(x) + tf.math.log_sigmoid(-x) - self._log_slope
        return y, self._sum(log_slope)

    def _sum(self, log_slope: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(log_slope, axis=list(range(1, log_slope.shape.rank)))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "low": self.low,
            "high": self.high,
            "alpha": self.alpha,
            "ndims": self.inverse_min_event_ndims,
        }
