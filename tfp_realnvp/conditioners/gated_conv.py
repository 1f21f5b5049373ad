"""The gated convolutional ResNet of Flow++ and the UvA tutorial."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.core import arguments
from tfp_realnvp.kernels import gates as elementwise
from tfp_realnvp.kernels import gates_by_xla as fused
from tfp_realnvp.kernels.convolution import by_halves, convolve


class GatedConv(Conditioner):
    """Gated residual blocks between a 3x3 convolution in and a zero-initialised one out.

    A block computes `x + value * sigmoid(gate)` with
    `value, gate = conv1x1(elu2(conv3x3(elu2(x))))`, then normalises over the channels (layer
    norm). `elu2` is the two-sided ELU, `concat(elu(x), elu(-x))`. Labels of a class-conditional
    flow add a learned bias per class and channel after the first convolution. In mixed precision
    the convolutions alone are in the compute dtype.

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
        # Each 3x3 convolution reaches over one row: the first, the blocks', the last.
        return by_halves(
            functools.partial(self._network, classes=classes), inputs, reach=self.blocks + 2
        )

    def _network(self, inputs, edges, *, classes):
        compute, wide = inputs.dtype, self.variable_dtype

        parts = fused if fused.are_used(compute, wide) else elementwise

        def convolved(x, weights, *, takes_halves=True, makes_halves=False):
            kernel, bias = (tf.cast(weight.value, compute) for weight in weights)
            kernel = parts.arrange(kernel, *[2] * takes_halves, *[3] * makes_halves)
            bias = parts.arrange(bias, *[0] * makes_halves)
            return convolve(x, kernel, bias, edges=edges)

        # Between the convolutions all is in the weights' dtype: bfloat16 loses digits there, and
        # TensorFlow's element-wise kernels are slower in it than in float32.
        x = tf.cast(convolved(inputs, self.start, takes_halves=False), wide)
        if classes is not None:
            bias = tf.cast(self.class_bias.value, wide)
            x += tf.linalg.matmul(tf.cast(classes, wide), bias)[:, None, None, :]
        for block in self.residual:
            hidden = convolved(parts.two_sided_elu(x, compute, wide=wide), block["wide"])
            hidden = parts.two_sided_elu(hidden, compute, wide=wide)
            mixed = convolved(hidden, block["mix"], makes_halves=True)
            # Keras gives weights in the compute dtype where a layer is called by itself.
            scale, bias = (tf.cast(weight.value, wide) for weight in block["norm"])
            x = parts.gate_and_norm(edges.crop(x, halo=1), mixed, scale, bias)
        return convolved(parts.two_sided_elu(x, compute, wide=wide), self.end)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "width": self.width, "blocks": self.blocks}
