"""The network of Flow++: gated convolutions and gated attention in turn."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.conditioners.attention import attend
from tfp_realnvp.conditioners.gated import Gated, values
from tfp_realnvp.conditioners.weight_norm import add_given

# Standard deviations at the start: of what gates and the last convolution make, and of positions.
SMALL, POSITIONS = 0.1, 0.01


class GatedAttention(Gated):
    """Blocks of a gated convolution and gated attention, between two 3x3 convolutions.

    With `gated(h)` for `value * sigmoid(gate)`, `value, gate = conv1x1(h)`, and the two-sided ELU
    `elu2(x) = concat(elu(x), elu(-x))`, a block of Flow++ (arXiv:1902.00275, section 3.4) is

    * `x = norm(x + gated(elu2(conv3x3(elu2(x)) + conv1x1(elu2(c)))))`,
    * `x = norm(x + gated(attention(conv1x1(x + p))))`,

    with a layer norm over the channels, learned positions `p` that all blocks share, and the
    condition `c` where the coupling has one, as in a variational dequantizer: it goes into every
    block rather than into the first convolution.

    The first data that a flow sees scale each convolution, see `ScaledByData`: what the gates and
    the last one make starts with a standard deviation of 0.1, what the others make with 1.

    Labels and the vector of a condition add what is linear in them to each channel after the first
    convolution. In mixed precision the convolutions, and attention's products, alone are in the
    compute dtype.

    Args:
        width: hidden channels.
        blocks: number of blocks.
        heads: number of heads of the attention, a divisor of the width.
        dropout: rate of the dropout before each gate's convolution, in training; in `[0, 1)`.
        outputs: output channels; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width, blocks or heads is not positive, or another option is out of its range.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import GatedAttention
        >>> images = np.ones([2, 4, 4, 1], "float32")
        >>> GatedAttention(width=8, blocks=2, outputs=2)(images).shape
        TensorShape([2, 4, 4, 2])
    """

    def __init__(
        self,
        *,
        width: int = 96,
        blocks: int = 10,
        heads: int = 4,
        dropout: float = 0.0,
        outputs: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(width=width, blocks=blocks, dropout=dropout, outputs=outputs, **kwargs)
        self.heads = self.checked_heads(heads, least=1)

    def build(self, input_shape):
        """Creates kernels, biases and positions."""
        width, convolution, norm = self.width, self.convolution, self.norm
        *grid, channels = input_shape[1:]
        self.seen = channels - self.condition_channels
        self.start = convolution("start", 3, self.seen, width)
        self.of_given = self.given_kernel("class_bias", width)
        normal = keras.initializers.RandomNormal(stddev=POSITIONS)
        self.positions = self.weight("positions", (*grid, width), normal)
        self.residual = []
        for i in range(self.blocks):
            block = {"wide": convolution(f"block_{i}/wide", 3, 2 * width, width)}
            if self.condition_channels:
                size = 2 * self.condition_channels
                block["condition"] = convolution(f"block_{i}/condition", 1, size, width)
            block |= {
                "mix": convolution(f"block_{i}/mix", 1, 2 * width, 2 * width, scale=SMALL),
                "norm": norm(f"block_{i}/norm"),
                "project": convolution(f"block_{i}/project", 1, width, 3 * width),
                "gather": convolution(f"block_{i}/gather", 1, width, 2 * width, scale=SMALL),
                "gather_norm": norm(f"block_{i}/gather_norm"),
            }
            self.residual.append(block)
        self.end = convolution("end", 3, width, self.known_outputs(), scale=SMALL)
        self.initialized = self.weight("initialized", (), "zeros", dtype="int32", trainable=False)
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        kernels, compute, wide = context.kernels, inputs.dtype, self.variable_dtype
        seen, condition = inputs, None
        if self.condition_channels:
            seen, condition = inputs[..., : self.seen], tf.cast(inputs[..., self.seen :], wide)
        x = tf.cast(kernels.convolve(seen, *values(self.start, compute)), wide)
        if given is not None:
            x = add_given(x, tf.cast(given, wide), self.of_given)
        positions = tf.cast(self.positions.value, wide)
        for i, block in enumerate(self.residual):
            hidden = kernels.convolve_two_sided(x, *values(block["wide"], compute))
            if condition is not None:
                of_condition = values(block["condition"], compute)
                hidden += kernels.convolve_two_sided(condition, *of_condition)
            mix, norm = values(block["mix"], compute), values(block["norm"], wide)
            dropout = self.dropout_at(f"block_{i}", context)
            x = kernels.gate_and_norm(x, hidden, *mix, *norm, dropout=dropout)

            project = values(block["project"], compute)
            hidden = kernels.convolve(tf.cast(x + positions, compute), *project)
            hidden = attend(hidden, heads=self.heads, wide=wide)
            gather, norm = values(block["gather"], compute), values(block["gather_norm"], wide)
            dropout = self.dropout_at(f"block_{i}/attention", context)
            x = kernels.gate_and_norm(x, hidden, *gather, *norm, two_sided=False, dropout=dropout)
        return kernels.convolve(tf.cast(x, compute), *values(self.end, compute))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "heads": self.heads}
