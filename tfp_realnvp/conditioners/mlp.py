"""A multi-layer perceptron for couplings of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_realnvp import arguments
from tfp_realnvp.conditioners.base import Conditioner


class MLP(Conditioner):
    """Dense layers with ReLU between them and a zero-initialised end.

    Labels of a class-conditional flow enter as one-hot inputs beside the vector.

    Args:
        widths: widths of the hidden layers.
        outputs: size of the output; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: a width is not positive.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import MLP
        >>> MLP(widths=(8,), outputs=4)(np.ones([2, 3], "float32")).shape
        TensorShape([2, 4])
    """

    def __init__(
        self, *, widths: Sequence[int] = (128, 128), outputs: int | None = None, **kwargs: Any
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.widths = arguments.widths("MLP", "widths", widths)

    def build(self, input_shape):
        """Creates kernels and biases."""
        outputs = self.known_outputs()
        sizes = [input_shape[-1] + (self.num_classes or 0), *self.widths]
        self.hidden = [
            (
                self.weight(f"dense_{i}/kernel", (size, width), "he_normal"),
                self.weight(f"dense_{i}/bias", (width,), "zeros"),
            )
            for i, (size, width) in enumerate(zip(sizes, self.widths, strict=False))
        ]
        self.end_kernel = self.weight("end/kernel", (sizes[-1], outputs), "zeros")
        self.end_bias = self.weight("end/bias", (outputs,), "zeros")
        self.built = True

    def run(self, inputs, classes, context):
        """See `Conditioner.run`."""
        x = inputs if classes is None else tf.concat([inputs, classes], -1)
        for kernel, bias in self.hidden:
            x = tf.nn.relu(_dense(x, kernel, bias))
        return _dense(x, self.end_kernel, self.end_bias)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "widths": list(self.widths)}


def _dense(x, kernel, bias):
    return tf.linalg.matmul(x, tf.cast(kernel.value, x.dtype)) + tf.cast(bias.value, x.dtype)
