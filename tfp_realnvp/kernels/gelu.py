"""The Gaussian error linear unit (arXiv:1606.08415), exact in float64 too."""

from __future__ import annotations

import math

import tensorflow as tf

# Of the argument of the logistic function that stands in for the normal one.
SLOPE, CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715 * 2 * math.sqrt(2 / math.pi)


def gelu(x: tf.Tensor, *, approximate: bool) -> tf.Tensor:
    """Returns `x P(x)` with the normal distribution function P, in the dtype of `x`.

    TensorFlow's own has constants of float32, and a gradient of twice as many passes.

    Args:
        x: any tensor.
        approximate: whether P is `(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.kernels.gelu import gelu
        >>> gelu(tf.constant([-1.0, 0.0, 1.0]), approximate=False).numpy().round(3)
        array([-0.159,  0.   ,  0.841], dtype=float32)
    """
    return _by_tanh(x) if approximate else _exact(x)


@tf.custom_gradient
def _by_tanh(x):
    square = tf.square(x)
    below = tf.sigmoid(x * (SLOPE + CUBIC * square))  # (1 + tanh(u)) / 2 = sigmoid(2 u)

    def gradient(upstream):
        density = tf.raw_ops.SigmoidGrad(y=below, dy=SLOPE + 3 * CUBIC * square)
        return upstream * (below + x * density)

    return x * below, gradient


@tf.custom_gradient
def _exact(x):
    twice = 1.0 + tf.math.erf(x / math.sqrt(2))

    def gradient(upstream):
        density = tf.exp(-0.5 * tf.square(x)) * (1 / math.sqrt(2 * math.pi))
        return upstream * (0.5 * twice + x * density)

    # LiteRT has no erf, but a GELU, which it finds in these very operations.
    return 0.5 * x * twice, gradient
