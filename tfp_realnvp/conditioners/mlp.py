"""A multi-layer perceptron for couplings of vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.core import arguments
from tfp_realnvp.kernels.bias import add_bias


class MLP(Conditioner):
    """Dense layers with ReLU between them and a zero-initialised end.

    Biases start uniformly in `[-1, 1] / sqrt(inputs)`: flows of few dimensions train much better.

    One-hot labels and the vector of a condition are inputs beside the event's.

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
        self.hidden, self.end = dense_weights(
            self, input_shape[-1], self.widths, "he_normal", spread
        )
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        x = inputs if given is None else tf.concat([inputs, given], -1)
        for kernel, bias in self.hidden:
            x = tf.nn.relu(_dense(x, kernel, bias))
        return _dense(x, *self.end)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "widths": list(self.widths)}


def spread(size: int) -> keras.initializers.Initializer:
    """Returns what spreads the kinks of ReLUs over their inputs' range, given their number.

    With biases of zero, all units of one standardised input have their kink at 0.
    """
    return keras.initializers.RandomUniform(-(size**-0.5), size**-0.5)


def dense_weights(
    owner: Conditioner,
    inputs: int,
    widths: Sequence[int],
    initializer: str,
    biases: Callable[[int], Any] = lambda _: "zeros",
) -> tuple[list[tuple[Any, Any]], tuple[Any, Any]]:
    """Creates kernels and biases of hidden layers and of a zero-initialised end.

    Args:
        owner: the conditioner that holds the weights; what its rows are given are inputs too.
        inputs: size of the input without that.
        widths: widths of the hidden layers.
        initializer: of the hidden layers' kernels.
        biases: makes the initializer of the hidden layers' biases from the number of inputs.

    Returns:
        The hidden layers' kernels and biases in pairs, and the pair of the end.
    """
    sizes = [inputs + owner.given_size, *widths]
    hidden = [
        (
            owner.weight(f"dense_{i}/kernel", (size, width), initializer),
            owner.weight(f"dense_{i}/bias", (width,), biases(size)),
        )
        for i, (size, width) in enumerate(itertools.pairwise(sizes))
    ]
    outputs = owner.known_outputs()
    end = (
        owner.weight("end/kernel", (sizes[-1], outputs), "zeros"),
        owner.weight("end/bias", (outputs,), "zeros"),
    )
    return hidden, end


def _dense(x, kernel, bias):
    kernel, bias = tf.cast(kernel.value, x.dtype), tf.cast(bias.value, x.dtype)
    return add_bias(tf.linalg.matmul(x, kernel), bias)
