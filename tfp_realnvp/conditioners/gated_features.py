"""Features of an image by gated convolutions: what the noise of Flow++ is given."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.gated import Gated, values
from tfp_realnvp.conditioners.gated_attention import SMALL


class GatedFeatures(Gated):
    """A 3x3 convolution, then gated ones, without norm and end (arXiv:1902.00275).

    A block computes `x + value * sigmoid(gate)` with
    `value, gate = conv3x3(elu2(conv3x3(elu2(x))))`, where `elu2(x) = concat(elu(x), elu(-x))`. The
    features are what the last block gives. The first data that a flow sees scale each convolution,
    see `ScaledByData`: what the gates make starts with a standard deviation of 0.1.

    Args:
        width: number of features.
        blocks: number of blocks.
        dropout: rate of the dropout before each gate's convolution, in training; in `[0, 1)`.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width or blocks is not positive, or the rate is out of its range.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import GatedFeatures
        >>> GatedFeatures(width=8)(np.ones([2, 4, 4, 1], "float32")).shape
        TensorShape([2, 4, 4, 8])
    """

    def __init__(self, *, width: int = 32, blocks: int = 3, dropout: float = 0.0, **kwargs: Any):
        super().__init__(width=width, blocks=blocks, dropout=dropout, **kwargs)
        self.outputs = self.width
        self.reach = 1 + 2 * self.blocks

    def build(self, input_shape):
        """Creates kernels and biases."""
        width, convolution = self.width, self.convolution
        self.start = convolution("start", 3, input_shape[-1], width)
        self.residual = [
            {
                "wide": convolution(f"block_{i}/wide", 3, 2 * width, width),
                "mix": convolution(f"block_{i}/mix", 3, 2 * width, 2 * width, scale=SMALL),
            }
            for i in range(self.blocks)
        ]
        self.initialized = self.weight("initialized", (), "zeros", dtype="int32", trainable=False)
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        kernels, compute, wide = context.kernels, inputs.dtype, self.variable_dtype
        x = tf.cast(kernels.convolve(inputs, *values(self.start, compute)), wide)
        for i, block in enumerate(self.residual):
            hidden = kernels.convolve_two_sided(x, *values(block["wide"], compute))
            dropout = self.dropout_at(f"block_{i}", context)
            x = kernels.gate(x, hidden, *values(block["mix"], compute), dropout=dropout)
        return x

    def get_config(self):
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["outputs"]  # they are the width
        return config
