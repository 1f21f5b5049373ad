"""The gated convolutional ResNet of Flow++ and the UvA tutorial."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.weight_norm import add_class_bias
from tfp_realnvp.core import arguments


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
        # Each 3x3 convolution reaches over one row: the first, the blocks', the last.
        self.reach = self.blocks + 2

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
        # Between the convolutions all is in the weights' dtype: bfloat16 loses digits there, and
        # TensorFlow's element-wise operations are slower in it than in float32.
        kernels, compute, wide = context.kernels, inputs.dtype, self.variable_dtype

        def values(weights, dtype=compute):
            return [tf.cast(weight.value, dtype) for weight in weights]

        x = tf.cast(kernels.convolve(inputs, *values(self.start)), wide)
        if classes is not None:
            x = add_class_bias(x, tf.cast(classes, wide), self.class_bias)
        for block in self.residual:
            hidden = kernels.convolve_two_sided(x, *values(block["wide"]))
            x = kernels.gate_and_norm(
                x, hidden, *values(block["mix"]), *values(block["norm"], wide)
            )
        return kernels.convolve_two_sided(x, *values(self.end))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "width": self.width, "blocks": self.blocks}
