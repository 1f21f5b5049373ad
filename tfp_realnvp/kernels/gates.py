"""The element-wise parts of gated convolutions, by TensorFlow's kernels."""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.kernels.layer_norm import layer_norm


def arrange(weights: tf.Tensor, *axes: int) -> tf.Tensor:
    """Returns weights as they are: the halves of the channels lie one after the other."""
    del axes
    return weights


def two_sided_elu(x: tf.Tensor, dtype: tf.DType, *, wide: tf.DType) -> tf.Tensor:
    """Returns `concat(elu(x), elu(-x))` along the channels, computed in `wide`, as `dtype`."""
    x = tf.cast(x, wide)
    return (_two_sided_elu if dtype == x.dtype else _two_sided_elu_as(dtype))(x)


def gate(x: tf.Tensor, mixed: tf.Tensor) -> tf.Tensor:
    """Returns `x + value * sigmoid(gate)`.

    Args:
        x: `[N, H, W, C]`.
        mixed: value and gate, `[N, H, W, 2C]`, perhaps of lower precision.
    """
    value, opening = (tf.cast(part, x.dtype) for part in tf.split(mixed, 2, axis=-1))
    return x + value * tf.sigmoid(opening)


def gate_and_norm(x: tf.Tensor, mixed: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns the layer norm of `gate(x, mixed)`.

    Args:
        x: `[N, H, W, C]`.
        mixed: value and gate, `[N, H, W, 2C]`, perhaps of lower precision.
        scale: of the norm, `[C]`, in the dtype of `x`.
        bias: of the norm, likewise.
    """
    return layer_norm(gate(x, mixed), scale, bias)


# The gradient is written out: what autodiff makes of it passes over the activations about twice
# as often, and passes cost as much as convolutions do.


@tf.custom_gradient
def _two_sided_elu(x):
    y = tf.nn.elu(tf.concat([x, -x], -1))

    def gradient(upstream):
        # The sides are split, not sliced: TensorFlow's slices of channels are slow on the CPU.
        positive, negative = tf.split(tf.raw_ops.EluGrad(gradients=upstream, outputs=y), 2, axis=-1)
        return positive - negative

    return y, gradient


def _two_sided_elu_as(dtype):
    @tf.custom_gradient
    def two_sided(x):
        # Half as many bytes reach the concatenation.
        sides = [tf.cast(tf.nn.elu(side), dtype) for side in (x, -x)]

        def gradient(upstream):
            positive, negative = (
                tf.raw_ops.EluGrad(gradients=tf.cast(g, x.dtype), outputs=tf.cast(y, x.dtype))
                for g, y in zip(tf.split(upstream, 2, axis=-1), sides, strict=True)
            )
            return positive - negative

        return tf.concat(sides, -1), gradient

    return two_sided
