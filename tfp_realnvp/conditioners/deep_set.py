"""A network of sets, which does not see in what order the points come."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.mlp import spread
from tfp_realnvp.core import arguments
from tfp_realnvp.kernels.bias import add_bias


class DeepSet(Conditioner):
    """Layers that treat all points alike, and know their mean (arXiv:1703.06114, section 3.1).

    A layer maps the points `x_p` of a set to `x_p A + (mean_q x_q) B + c`, with ReLU between layers
    and a zero-initialised end. Points in another order give the outputs in that order.

    One-hot labels and the vector of a condition are inputs beside each point's.

    Args:
        widths: widths of the hidden layers.
        outputs: channels of the output; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: a width is not positive.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import DeepSet
        >>> DeepSet(widths=(8,), outputs=4)(np.ones([2, 5, 3], "float32")).shape
        TensorShape([2, 5, 4])
    """

    event_ndims = 2

    def __init__(
        self, *, widths: Sequence[int] = (64, 64), outputs: int | None = None, **kwargs: Any
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.widths = arguments.widths("DeepSet", "widths", widths)

    def build(self, input_shape):
        """Creates kernels and biases."""
        sizes = [input_shape[-1] + self.given_size, *self.widths]
        layers = [
            (f"layer_{i}", size, width, "he_normal", spread(size))
            for i, (size, width) in enumerate(itertools.pairwise(sizes))
        ]
        layers.append(("end", sizes[-1], self.known_outputs(), "zeros", "zeros"))
        self.layers_weights = [
            (
                self.weight(f"{name}/own_kernel", (size, width), kernel),
                self.weight(f"{name}/mean_kernel", (size, width), kernel),
                self.weight(f"{name}/bias", (width,), bias),
            )
            for name, size, width, kernel, bias in layers
        ]
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        x = inputs
        if given is not None:
            shape = tf.concat([tf.shape(x)[:2], [given.shape[-1]]], 0)
            x = tf.concat([x, tf.broadcast_to(given[:, None], shape)], -1)
        for i, weights in enumerate(self.layers_weights):
            own, mean, bias = (tf.cast(weight.value, x.dtype) for weight in weights)
            of_all = add_bias(tf.linalg.matmul(tf.reduce_mean(x, 1), mean), bias)
            x = tf.linalg.matmul(x, own) + of_all[:, None]
            if i < len(self.widths):
                x = tf.nn.relu(x)
        return x

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "widths": list(self.widths)}
