"""The velocity field of a continuous flow: a smooth network of place and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.mlp import dense_weights
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context


class Velocity(Conditioner):
    """Dense layers with tanh between them and a zero-initialised end, of place and time.

    The input is `[N, D + 1]`, the time last. `with_tangents` also pushes directions of place
    forward through the network, layer by layer: the derivative along them comes with the value.

    One-hot labels and the vector of a condition are inputs too.

    Args:
        widths: widths of the hidden layers.
        outputs: D; None to let the bijector say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: a width is not positive.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import Velocity
        >>> Velocity(widths=(8,), outputs=2)(np.ones([5, 3], "float32")).shape
        TensorShape([5, 2])
    """

    def __init__(
        self, *, widths: Sequence[int] = (64, 64), outputs: int | None = None, **kwargs: Any
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.widths = arguments.widths("Velocity", "widths", widths)

    def build(self, input_shape):
        """Creates kernels and biases."""
        self.hidden, self.end = dense_weights(self, input_shape[-1], self.widths, "glorot_normal")
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        return self._push(inputs, None, given)[0]

    def with_tangents(
        self, place: tf.Tensor, time: tf.Tensor, directions: tf.Tensor, context: Context
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes velocities and their derivatives along directions of place.

        Args:
            place: `[N, D]`.
            time: `[N]`.
            directions: `[M, N or 1, D]`.
            context: the per-call context.

        Returns:
            Velocities `[N, D]` and derivatives `[M, N, D]`, in the dtype of the place.

        Raises:
            ValueError: labels or the condition are missing in a flow that has them.
        """
        compute = self.variable_dtype if context.exact else self.compute_dtype
        given = self._given(context, compute)
        inputs = tf.cast(tf.concat([place, time[:, None]], -1), compute)
        outputs, tangents = self._push(inputs, tf.cast(directions, compute), given)
        # Of a linear field the derivatives are the same in every row, and come as one.
        tangents += tf.zeros_like(outputs)
        return tf.cast(outputs, place.dtype), tf.cast(tangents, place.dtype)

    def _push(self, x, tangents, given):
        if given is not None:
            x = tf.concat([x, given], -1)
        for i, (kernel, bias) in enumerate(self.hidden):
            kernel = tf.cast(kernel.value, x.dtype)
            x = tf.tanh(tf.linalg.matmul(x, kernel) + tf.cast(bias.value, x.dtype))
            if tangents is not None:
                # Time and what is given do not move along the directions: theirs are the last rows.
                seen = kernel[: tangents.shape[-1]] if i == 0 else kernel
                tangents = tf.linalg.matmul(tangents, seen) * (1 - tf.square(x))
        kernel, bias = (tf.cast(weight.value, x.dtype) for weight in self.end)
        if tangents is not None:
            tangents = tf.linalg.matmul(
                tangents, kernel if self.hidden else kernel[: tangents.shape[-1]]
            )
        return tf.linalg.matmul(x, kernel) + bias, tangents

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "widths": list(self.widths)}
