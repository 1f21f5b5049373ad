"""A bias whose gradient is right in bfloat16 too."""

from __future__ import annotations

import tensorflow as tf


@tf.custom_gradient
def add_bias(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns `x + bias`, and sums the gradient of the bias in float32 at least.

    TensorFlow sums it in the dtype of `x` on the CPU: a sum of ones in bfloat16 ends at 512.

    Args:
        x: `[..., C]`.
        bias: `[C]`, in the dtype of `x`.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.kernels.bias import add_bias
        >>> add_bias(tf.zeros([1, 2]), tf.constant([1.0, 2.0])).numpy()
        array([[1., 2.]], dtype=float32)
    """

    def gradient(upstream):
        wide = upstream if upstream.dtype.size >= 4 else tf.cast(upstream, tf.float32)
        return upstream, tf.cast(tf.raw_ops.BiasAddGrad(out_backprop=wide), bias.dtype)

    return tf.nn.bias_add(x, bias), gradient
