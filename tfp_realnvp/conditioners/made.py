"""MADE: a multi-layer perceptron whose i-th outputs see only the inputs before the i-th."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.mlp import dense_weights, spread
from tfp_realnvp.core import arguments


class MADE(Conditioner):
    """Masked dense layers with ReLU between them and a zero-initialised end (arXiv:1502.03509).

    Input `i` of D has degree `i`, hidden units have the degrees `1 .. D - 1` in turn. A hidden
    unit sees units of its own degree and below, an output sees hidden units *strictly* below its
    own degree: output `i` depends on the inputs before `i` alone, the first on none. The outputs
    are blocks of D along the last axis, each in the order of the inputs.

    One-hot labels and the vector of a condition are inputs of degree 0, and add what is linear in
    them at the end, which the first output sees too.

    Args:
        widths: widths of the hidden layers.
        outputs: size of the output, a multiple of D; None to let the bijector say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: a width is not positive; at building, fewer than 2 inputs, or outputs that are
            no multiple of them.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import MADE
        >>> MADE(widths=(8,), outputs=6)(np.ones([2, 3], "float32")).shape
        TensorShape([2, 6])
    """

    def __init__(
        self, *, widths: Sequence[int] = (128, 128), outputs: int | None = None, **kwargs: Any
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.widths = arguments.widths("MADE", "widths", widths, least=1)

    def build(self, input_shape):
        """Creates kernels, biases and masks."""
        size, outputs = input_shape[-1], self.known_outputs()
        if size < 2 or outputs % size:
            raise ValueError(
                f"MADE needs at least 2 inputs and a multiple of them as outputs, got {size} "
                f"inputs and {outputs} outputs."
            )
        self.hidden, end = dense_weights(self, size, self.widths, "he_normal", spread)
        self.end_kernel, self.end_bias = end
        self.of_given = self.given_kernel("end/class_bias", outputs)
        degrees = [np.concatenate([np.arange(1, size + 1), np.zeros(self.given_size, int)])]
        degrees += [np.arange(width) % (size - 1) + 1 for width in self.widths]
        self.masks = [
            below[:, None] <= above[None, :] for below, above in itertools.pairwise(degrees)
        ]
        ends = np.tile(np.arange(1, size + 1), outputs // size)
        self.end_mask = degrees[-1][:, None] < ends[None, :]
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        x = inputs if given is None else tf.concat([inputs, given], -1)
        for (kernel, bias), mask in zip(self.hidden, self.masks, strict=True):
            x = tf.nn.relu(_masked(x, kernel, bias, mask))
        outputs = _masked(x, self.end_kernel, self.end_bias, self.end_mask)
        if given is not None:
            outputs += tf.linalg.matmul(given, tf.cast(self.of_given.value, x.dtype))
        return outputs

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "widths": list(self.widths)}


def _masked(x, kernel, bias, mask):
    kernel = tf.cast(kernel.value, x.dtype) * tf.cast(mask, x.dtype)
    return tf.linalg.matmul(x, kernel) + tf.cast(bias.value, x.dtype)
