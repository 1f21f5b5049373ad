"""Weight-normalised convolutions, for conditioners."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.kernels import Kernels

EPSILON = 1e-12


class WeightNormConv:
    """A convolution with `kernel = gain * direction / |direction|` per filter (arXiv:1602.07868).

    The gain starts from 1, or from 0 to make the output start from 0.

    Args:
        owner: the conditioner that holds the weights.
        name: name of the convolution.
        size: side of the kernel.
        channels: input channels.
        filters: output channels.
        bias: whether to add a bias.
        zero: whether the gain starts from 0.
        l2: factor of a penalty on the squares of the gains, which Keras adds to the loss.
    """

    def __init__(
        self,
        owner: Conditioner,
        name: str,
        *,
        size: int,
        channels: int,
        filters: int,
        bias: bool = True,
        zero: bool = False,
        l2: float = 0.0,
    ):
        penalty = keras.regularizers.L2(l2) if l2 else None
        self.direction = owner.weight(f"{name}/direction", (size, size, channels, filters))
        self.gain = owner.weight(
            f"{name}/gain", (filters,), "zeros" if zero else "ones", regularizer=penalty
        )
        self.bias = owner.weight(f"{name}/bias", (filters,), "zeros") if bias else None

    def __call__(self, x: tf.Tensor, kernels: Kernels) -> tf.Tensor:
        """Convolves `[N, H, W, channels]` to `[N, H, W, filters]`, in the dtype of `x`."""
        direction = self.direction.value
        norm = tf.math.rsqrt(tf.reduce_sum(tf.square(direction), [0, 1, 2]) + EPSILON)
        kernel = tf.cast(direction * (self.gain.value * norm), x.dtype)
        bias = None if self.bias is None else tf.cast(self.bias.value, x.dtype)
        return kernels.convolve(x, kernel, bias)


def add_given(x: tf.Tensor, given: tf.Tensor, kernel: Any) -> tf.Tensor:
    """Adds `given @ kernel` to every pixel of `[N, H, W, C]`; of a label it is a bias per class.

    Args:
        x: `[N, H, W, C]`.
        given: what each row is given, `[N, G]` in the dtype of `x`; see `Conditioner.run`.
        kernel: the weight, `[G, C]`; see `Conditioner.given_kernel`.
    """
    return x + tf.linalg.matmul(given, tf.cast(kernel.value, x.dtype))[:, None, None, :]
