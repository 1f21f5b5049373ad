"""The gated convolutional ResNet of Flow++ and the UvA tutorial."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp import arguments
from tfp_realnvp.conditioners.base import Conditioner

LAYER_NORM_EPSILON = 1e-6


class GatedConv(Conditioner):
    """Gated residual blocks between a 3x3 convolution in and a zero-initialised one out.

    A block computes `x + value * sigmoid(gate)` with
    `value, gate = conv1x1(elu2(conv3x3(elu2(x))))`, then normalises over the channels (layer
    norm). `elu2` is the two-sided ELU, `concat(elu(x), elu(-x))`. Labels of a class-conditional
    flow add a learned bias per class and channel after the first convolution.

    Source: arXiv:1902.00275 (without attention); UvA deep learning tutorial 11.

    Args:
        width: hidden channels.
        blocks: number of residual blocks.
        outputs: output channels; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width or blocks is not positive.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import GatedConv
        >>> GatedConv(width=8, outputs=2)(np.ones([2, 4, 4, 1], "float32")).shape
        TensorShape([2, 4, 4, 2])
    """

    event_ndims = 3

    def __init__(
        self, *, width: int = 32, blocks: int = 3, outputs: int | None = None, **kwargs: Any
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.width = arguments.whole("GatedConv", "width", width)
        self.blocks = arguments.whole("GatedConv", "blocks", blocks)

    def build(self, input_shape):
        """Creates kernels and biases."""
        width = self.width

        def convolution(name, size, channels, filters, initializer="lecun_normal"):
            return (
                self.weight(f"{name}/kernel", (size, size, channels, filters), initializer),
                self.weight(f"{name}/bias", (filters,), "zeros"),
            )

        self.start = convolution("start", 3, input_shape[-1], width)
        if self.num_classes is not None:
            self.class_bias = self.weight("class_bias", (self.num_classes, width), "zeros")
        self.residual = [
            {
                "wide": convolution(f"block_{i}/wide", 3, 2 * width, width),
                "mix": convolution(f"block_{i}/mix", 1, 2 * width, 2 * width),
                "norm": (
                    self.weight(f"block_{i}/norm/scale", (width,), "ones"),
                    self.weight(f"block_{i}/norm/bias", (width,), "zeros"),
                ),
            }
            for i in range(self.blocks)
        ]
        self.end = convolution("end", 3, 2 * width, self.known_outputs(), "zeros")
        self.built = True

    def run(self, inputs, classes, context):
        """See `Conditioner.run`."""
        x = _convolve(inputs, *self.start)
        if classes is not None:
            bias = tf.linalg.matmul(classes, tf.cast(self.class_bias.value, x.dtype))
            x += bias[:, None, None, :]
        for block in self.residual:
            hidden = _convolve(two_sided_elu(x), *block["wide"])
            value, gate = tf.split(_convolve(two_sided_elu(hidden), *block["mix"]), 2, axis=-1)
            x = layer_norm(x + value * tf.sigmoid(gate), *block["norm"])
        return _convolve(two_sided_elu(x), *self.end)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "width": self.width, "blocks": self.blocks}


def two_sided_elu(x: tf.Tensor) -> tf.Tensor:
    """Returns `concat(elu(x), elu(-x))` along the channels."""
    return _two_sided_elu(x)


def layer_norm(x: tf.Tensor, scale: Any, bias: Any) -> tf.Tensor:
    """Normalises over the channels, then scales and shifts."""
    scale, bias = tf.cast(scale.value, x.dtype), tf.cast(bias.value, x.dtype)
    return _layer_norm(x, scale, bias)


# The gradients of both are written out: what autodiff makes of them passes over the activations
# about twice as often, and passes cost as much as convolutions do.


@tf.custom_gradient
def _two_sided_elu(x):
    y = tf.nn.elu(tf.concat([x, -x], -1))

    def gradient(upstream):
        # The sides are split, not sliced: TensorFlow's slices of channels are slow on the CPU.
        positive, negative = tf.split(tf.raw_ops.EluGrad(gradients=upstream, outputs=y), 2, axis=-1)
        return positive - negative

    return y, gradient


@tf.custom_gradient
def _layer_norm(x, scale, bias):
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    inverse = tf.math.rsqrt(variance + LAYER_NORM_EPSILON)
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


def _convolve(x, kernel, bias):
    kernel, bias = tf.cast(kernel.value, x.dtype), tf.cast(bias.value, x.dtype)
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
