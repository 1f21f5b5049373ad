"""The gated convolutional ResNet of Flow++ and the UvA tutorial."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.attention import attend, check_heads
from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.weight_norm import add_given
from tfp_realnvp.core import arguments
from tfp_realnvp.core.noise import row_noise


class GatedConv(Conditioner):
    """Gated residual blocks between a 3x3 convolution in and a zero-initialised one out.

    A block computes `x + value * sigmoid(gate)` with
    `value, gate = conv1x1(elu2(conv3x3(elu2(x))))`, then normalises over the channels (layer
    norm). `elu2` is the two-sided ELU, `concat(elu(x), elu(-x))`. With heads, self-attention
    follows in the same form, `value, gate = conv1x1(attention(conv1x1(x)))`: every pixel sees the
    whole image, at a cost that is the square of the number of pixels. Labels and the vector of a
    condition add what is linear in them to each channel after the first convolution. In mixed
    precision the convolutions, and attention's products, alone are in the compute dtype.

    Source: arXiv:1902.00275; UvA deep learning tutorial 11 (without attention and dropout).

    Args:
        width: hidden channels.
        blocks: number of residual blocks.
        heads: number of heads of the attention behind each block, a divisor of the width; 0 for no
            attention.
        positions: whether to add a learned bias per pixel and channel after the first convolution.
        dropout: rate of the dropout before each block's 1x1 convolution, in training; in `[0, 1)`.
        last: side of the last convolution's kernel, an odd number.
        outputs: output channels; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width or blocks is not positive, or another option is out of its range.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import GatedConv
        >>> images = np.ones([2, 4, 4, 1], "float32")
        >>> GatedConv(width=8, outputs=2)(images).shape
        TensorShape([2, 4, 4, 2])
        >>> GatedConv(width=8, outputs=2, heads=2, positions=True)(images).shape
        TensorShape([2, 4, 4, 2])
    """

    event_ndims = 3

    def __init__(
        self,
        *,
        width: int = 32,
        blocks: int = 3,
        heads: int = 0,
        positions: bool = False,
        dropout: float = 0.0,
        last: int = 3,
        outputs: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.width = arguments.whole("GatedConv", "width", width)
        self.blocks = arguments.whole("GatedConv", "blocks", blocks)
        self.heads = arguments.whole("GatedConv", "heads", heads, least=0)
        self.positions = arguments.instance("GatedConv", "positions", positions, bool)
        self.dropout = arguments.real("GatedConv", "dropout", dropout, least=0, below=1)
        self.last = arguments.whole("GatedConv", "last", last)
        if self.heads:
            check_heads("GatedConv", width=self.width, heads=self.heads)
        if self.last % 2 == 0:
            raise ValueError(f"GatedConv needs an odd side of its last kernel, got last={last}.")
        if not (self.heads or self.positions):
            # Each 3x3 convolution reaches over one row: the first, the blocks'; and the last.
            self.reach = 1 + self.blocks + self.last // 2

    def build(self, input_shape):
        """Creates kernels and biases."""
        width = self.width

        def convolution(name, size, channels, filters, initializer="lecun_normal"):
            return (
                self.weight(f"{name}/kernel", (size, size, channels, filters), initializer),
                self.weight(f"{name}/bias", (filters,), "zeros"),
            )

        def norm(name):
            return (
                self.weight(f"{name}/scale", (width,), "ones"),
                self.weight(f"{name}/bias", (width,), "zeros"),
            )

        self.start = convolution("start", 3, input_shape[-1], width)
        self.of_given = self.given_kernel("class_bias", width)
        if self.positions:
            self.position_bias = self.weight("position_bias", (*input_shape[1:3], width), "zeros")
        self.residual = []
        for i in range(self.blocks):
            block = {
                "wide": convolution(f"block_{i}/wide", 3, 2 * width, width),
                "mix": convolution(f"block_{i}/mix", 1, 2 * width, 2 * width),
                "norm": norm(f"block_{i}/norm"),
            }
            if self.heads:
                block |= {
                    "project": convolution(f"block_{i}/project", 1, width, 3 * width),
                    "gather": convolution(f"block_{i}/gather", 1, width, 2 * width),
                    "gather_norm": norm(f"block_{i}/gather_norm"),
                }
            self.residual.append(block)
        self.end = convolution("end", self.last, 2 * width, self.known_outputs(), "zeros")
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        # Between the convolutions all is in the weights' dtype: bfloat16 loses digits there, and
        # TensorFlow's element-wise operations are slower in it than in float32.
        kernels, compute, wide = context.kernels, inputs.dtype, self.variable_dtype
        drops = self.dropout > 0 and context.training and not context.exact

        def values(weights, dtype=compute):
            return [tf.cast(weight.value, dtype) for weight in weights]

        x = tf.cast(kernels.convolve(inputs, *values(self.start)), wide)
        if given is not None:
            x = add_given(x, tf.cast(given, wide), self.of_given)
        if self.positions:
            x += tf.cast(self.position_bias.value, wide)
        for i, block in enumerate(self.residual):
            dropout = functools.partial(self._dropped, context, f"block_{i}") if drops else None
            hidden = kernels.convolve_two_sided(x, *values(block["wide"]))
            x = kernels.gate_and_norm(
                x, hidden, *values(block["mix"]), *values(block["norm"], wide), dropout=dropout
            )
            if self.heads:
                hidden = kernels.convolve(tf.cast(x, compute), *values(block["project"]))
                hidden = attend(hidden, heads=self.heads, wide=wide)
                gather, norm = values(block["gather"]), values(block["gather_norm"], wide)
                x = kernels.gate_and_norm(x, hidden, *gather, *norm, two_sided=False)
        return kernels.convolve_two_sided(x, *values(self.end))

    def _dropped(self, context, name, hidden):
        like = tf.cast(hidden, self.variable_dtype)
        noise = row_noise(like, context, f"{self._scope_path}/{name}/dropout")
        kept = hidden * tf.cast(1 / (1 - self.dropout), hidden.dtype)
        return tf.where(noise < self.dropout, tf.zeros_like(kept), kept)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "blocks": self.blocks,
            "heads": self.heads,
            "positions": self.positions,
            "dropout": self.dropout,
            "last": self.last,
        }
