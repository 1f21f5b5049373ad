"""Layer norm over the last axis."""

from __future__ import annotations

import tensorflow as tf

# Added to the variance.
EPSILON = 1e-6


# The gradient is written out: what autodiff makes of it passes over the activations about twice
# as often, and passes cost as much as convolutions do.
@tf.custom_gradient
def layer_norm(x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns `scale * (x - mean) / sqrt(variance + 1e-6) + bias` (arXiv:1607.06450).

    Args:
        x: `[..., C]`; mean and variance are over its last axis.
        scale: `[C]`, in the dtype of `x`.
        bias: likewise.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.kernels.layer_norm import layer_norm
        >>> layer_norm(tf.constant([[1.0, 3.0]]), tf.ones([2]), tf.zeros([2])).numpy().round(3)
        array([[-1.,  1.]], dtype=float32)
    """
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    inverse = tf.math.rsqrt(variance + EPSILON)
    normal = centred * inverse

    def gradient(upstream):
        inner = upstream * scale
        along = tf.reduce_mean(inner * normal, -1, keepdims=True)
        across = tf.reduce_mean(inner, -1, keepdims=True)
        return (
            inverse * (inner - across - normal * along),
            tf.raw_ops.BiasAddGrad(out_backprop=upstream * normal),
            tf.raw_ops.BiasAddGrad(out_backprop=upstream),
        )

    return tf.nn.bias_add(normal * scale, bias), gradient
