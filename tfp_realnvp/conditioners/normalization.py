"""Batch and instance normalization, for conditioners."""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.core.context import Context
from tfp_realnvp.core.moments import RunningMoments, batch_moments

EPSILON = 1e-5
MOMENTUM = 0.9
NORMALIZATIONS = ("batch", "instance", "none")


class BatchNormalization:
    """Batch normalization with a learned scale and shift per channel (arXiv:1502.03167).

    In training the statistics are the batch's (over all replicas), and running ones follow them;
    in evaluation they are the running ones, so that a row does not see the rows beside it.

    Args:
        owner: the conditioner that holds the weights.
        name: name of the normalization.
        channels: number of channels.
    """

    def __init__(self, owner: Conditioner, name: str, channels: int):
        def running(kind, initializer):
            return owner.weight(
                f"{name}/{kind}", (channels,), initializer, trainable=False, aggregation="mean"
            )

        self.scale = owner.weight(f"{name}/scale", (channels,), "ones")
        self.shift = owner.weight(f"{name}/shift", (channels,), "zeros")
        self.running = RunningMoments(
            running("mean", "zeros"), running("variance", "ones"), momentum=MOMENTUM
        )

    def __call__(self, x: tf.Tensor, context: Context) -> tf.Tensor:
        """Normalises `[N, H, W, C]`, in the dtype of `x`."""
        if context.training and not context.exact:
            mean, variance = batch_moments(x, is_empty=context.is_empty)
            self.running.update(mean, variance)
        else:
            mean, variance = self.running.read(x)
        factor = tf.math.rsqrt(variance + EPSILON) * tf.cast(self.scale.value, mean.dtype)
        shift = tf.cast(self.shift.value, mean.dtype) - mean * factor
        return x * tf.cast(factor, x.dtype) + tf.cast(shift, x.dtype)


def instance_normalization(x: tf.Tensor, context: Context | None = None) -> tf.Tensor:
    """Normalises each channel of each image `[N, H, W, C]` by itself (arXiv:1607.08022)."""
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + EPSILON)
