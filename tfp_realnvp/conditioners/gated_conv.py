"""The gated convolutional ResNet of Flow++ and the UvA tutorial."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.attention import attend
from tfp_realnvp.conditioners.gated import Gated, values
from tfp_realnvp.conditioners.weight_norm import add_given
from tfp_realnvp.core import arguments


class GatedConv(Gated):
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
        super().__init__(width=width, blocks=blocks, dropout=dropout, outputs=outputs, **kwargs)
        self.heads = self.checked_heads(heads, least=0)
        self.positions = arguments.instance("GatedConv", "positions", positions, bool)
        self.last = arguments.whole("GatedConv", "last", last)
        if self.last % 2 == 0:
            raise ValueError(f"GatedConv needs an odd side of its last kernel, got last={last}.")
        if not (self.heads or self.positions):
            # Each 3x3 convolution reaches over one row: the first, the blocks'; and the last.
            self.reach = 1 + self.blocks + self.last // 2

    def build(self, input_shape):
        """Creates kernels and biases."""
        width, convolution, norm = self.width, self.convolution, self.norm
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
        self.end = convolution("end", self.last, 2 * width, self.known_outputs(), scale=0)
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        kernels, compute, wide = context.kernels, inputs.dtype, self.variable_dtype
        x = tf.cast(kernels.convolve(inputs, *values(self.start, compute)), wide)
        if given is not None:
            x = add_given(x, tf.cast(given, wide), self.of_given)
        if self.positions:
            x += tf.cast(self.position_bias.value, wide)
        for i, block in enumerate(self.residual):
            hidden = kernels.convolve_two_sided(x, *values(block["wide"], compute))
            mix, norm = values(block["mix"], compute), values(block["norm"], wide)
            dropout = self.dropout_at(f"block_{i}", context)
            x = kernels.gate_and_norm(x, hidden, *mix, *norm, dropout=dropout)
            if self.heads:
                hidden = kernels.convolve(tf.cast(x, compute), *values(block["project"], compute))
                hidden = attend(hidden, heads=self.heads, wide=wide)
                gather, norm = values(block["gather"], compute), values(block["gather_norm"], wide)
                x = kernels.gate_and_norm(x, hidden, *gather, *norm, two_sided=False)
        return kernels.convolve_two_sided(x, *values(self.end, compute))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "heads": self.heads,
            "positions": self.positions,
            "last": self.last,
        }
