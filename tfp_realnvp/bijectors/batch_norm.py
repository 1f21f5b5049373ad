"""Batch normalization on the path of a flow."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope
from tfp_realnvp.core.moments import RunningMoments, batch_moments


class BatchNorm(FlowBijector):
    r"""Batch normalization by running statistics (arXiv:1605.08803, section 3.7 and appendix E).

    With a mean `m` and a variance `v` per channel (per coordinate of a vector):

    * inverse (data to latent): `x = (y - m) / sqrt(v + epsilon)`;
    * forward: `y = x * sqrt(v + epsilon) + m`;
    * inverse log-det: `-(P / 2) sum_c log(v_c + epsilon)`, `P` the number of pixels.

    In training (`Context.training`), the inverse first moves the running statistics towards those
    of the batch and uses the result; the gradient flows through the batch's share of them. In
    evaluation, and in the forward direction always, they stay as they are, so that a row's
    likelihood does not depend on the rows beside it. `nvp.reestimate_statistics` sets them to
    those of a whole data set.

    Args:
        momentum: share of the running statistics that a step keeps, in `[0, 1)`.
        epsilon: added to the variance.
        ndims: rank of the event, 3 for images and 1 for vectors.
        name: name of the bijector.

    Raises:
        ValueError: the momentum or epsilon is out of range.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import BatchNorm, Context
        >>> norm = BatchNorm(momentum=0.0, epsilon=0.0, ndims=1)
        >>> x, _ = norm.inverse_and_log_det([[1.0], [3.0]], Context(training=True))
        >>> x.numpy().tolist(), norm.inverse([[2.0]]).numpy().tolist()
        ([[-1.0], [1.0]], [[0.0]])
    """

    def __init__(
        self,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        ndims: int = 3,
        name: str | None = None,
    ):
        super().__init__(data_ndims=arguments.whole("BatchNorm", "ndims", ndims), name=name)
        self.momentum = arguments.real("BatchNorm", "momentum", momentum, least=0, below=1)
        self.epsilon = arguments.real("BatchNorm", "epsilon", epsilon, least=0)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        kept: dict[str, Any] = {"trainable": False, "aggregation": "mean"}
        mean = self.weight("mean", event_shape[-1:], **kept)
        variance = self.weight("variance", event_shape[-1:], "ones", **kept)
        self.running = RunningMoments(mean, variance, momentum=self.momentum)

    @property
    def running_moments(self) -> list[RunningMoments]:
        """Those on the path."""
        return [self.running]

    def _inverse_and_log_det(self, y, context):
        if context.training:
            mean, variance = self.running.update(*batch_moments(y, is_empty=context.is_empty))
        else:
            mean, variance = self.running.read(y)
        x = (y - mean) * tf.math.rsqrt(variance + self.epsilon)
        return x, -self._log_det(y, variance)

    def _forward_and_log_det(self, x, context):
        mean, variance = self.running.read(x)
        y = x * tf.sqrt(variance + self.epsilon) + mean
        return y, self._log_det(x, variance)

    def _log_det(self, value: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        pixels = math.prod(value.shape[1:-1])
        log_det = 0.5 * pixels * tf.reduce_sum(tf.math.log(variance + self.epsilon))
        return tf.fill(tf.shape(value)[:1], log_det)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "ndims": self.inverse_min_event_ndims,
        }
