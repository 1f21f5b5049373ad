"""The vision transformer of Jet."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.conditioners.attention import check_heads
from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.transformer import (
    TransformerBlocks,
    cast,
    dense,
    dense_weights,
    norm_weights,
)
from tfp_realnvp.core import arguments
from tfp_realnvp.kernels.layer_norm import layer_norm


class ViT(Conditioner):
    """A vision transformer whose tokens are the pixels of a squeezed image (arXiv:2010.11929).

    Each pixel becomes a token of `width` channels, to which learned positions are added; behind
    `depth` blocks of a pre-norm transformer, a layer norm and a zero-initialised dense layer give
    the outputs: see `transformer.TransformerBlocks`. Labels and the vector of a condition add
    what is linear in them to each channel of all tokens. In mixed precision the matrix products
    alone are in the compute dtype.

    Source: arXiv:2412.15129.

    Args:
        width: channels of a token.
        depth: number of blocks.
        heads: number of heads of the attention, a divisor of the width.
        outputs: output channels; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width, depth or heads is not positive, or the heads do not divide the width.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import ViT
        >>> ViT(width=8, outputs=16)(np.ones([2, 7, 7, 8], "float32")).shape
        TensorShape([2, 7, 7, 16])
    """

    event_ndims = 3

    def __init__(
        self,
        *,
        width: int = 256,
        depth: int = 2,
        heads: int = 4,
        outputs: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.width = arguments.whole("ViT", "width", width)
        self.depth = arguments.whole("ViT", "depth", depth)
        self.heads = arguments.whole("ViT", "heads", heads)
        check_heads("ViT", width=self.width, heads=self.heads)

    def build(self, input_shape):
        """Creates kernels, biases and positions."""
        _, rows, columns, channels = input_shape
        normal = keras.initializers.RandomNormal(stddev=self.width**-0.5)
        self.start = dense_weights(self, "start", channels, self.width, "lecun_normal")
        self.positions = self.weight("positions", (rows * columns, self.width), normal)
        self.of_given = self.given_kernel("class_bias", self.width)
        self.blocks = TransformerBlocks(self, width=self.width, depth=self.depth, heads=self.heads)
        self.norm = norm_weights(self, "norm", self.width)
        self.end = dense_weights(self, "end", self.width, self.known_outputs(), "zeros")
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        compute, wide = inputs.dtype, self.variable_dtype
        rows, columns, channels = inputs.shape[1:]
        tokens = tf.reshape(inputs, [-1, rows * columns, channels])
        x = tf.cast(dense(tokens, self.start), wide) + self.positions.value
        if given is not None:
            x += tf.linalg.matmul(tf.cast(given, wide), self.of_given.value)[:, None]
        x = layer_norm(self.blocks(x, compute), *cast(self.norm, wide))
        outputs = dense(tf.cast(x, compute), self.end)
        return tf.reshape(outputs, [-1, rows, columns, outputs.shape[-1]])

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "depth": self.depth,
            "heads": self.heads,
        }
