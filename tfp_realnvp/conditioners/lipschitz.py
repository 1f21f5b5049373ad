"""Networks whose outputs lie no further apart than their inputs, for residual flows."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.spectral_norm import spectral_norm
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context
from tfp_realnvp.kernels.bias import add_bias

# No slope of x sigmoid(x) is above this.
STEEPEST = 1.1
# Softplus hardly changes it.
STEEPNESS = 8.0

#: Maps tangents `[M, N or 1, *event]` at the points of N rows to their images `[M, N, *outputs]`.
Push = Callable[[tf.Tensor], tf.Tensor]


class Lipschitz(Conditioner):
    """Linear maps with LipSwish between them: `|g(x) - g(y)| <= |x - y|` in the Euclidean norm.

    A kernel is divided by a bound of its linear map's spectral norm, where that is above 1. The
    activation is `x sigmoid(b x) / 1.1`, with a learned `b > 0` per layer (arXiv:1906.02735,
    section 3.3). It starts from 8, not from the paper's 1: the steeper, the nearer to a ReLU, and
    the less does it shrink distances around 0. The last kernel starts from zero.

    In front of the first activation, labels and the vector of a condition add what is linear in
    them, and a condition of each place what a linear map makes of it. In these the network may have
    any slope.

    Subclasses say what the linear maps are. `linearized` gives the derivative with the value.

    Args:
        outputs: channels of the output; None to let the bijector say.
        **kwargs: see `keras.layers.Layer`.
    """

    event_ndims: int

    @abc.abstractmethod
    def _kernel_shapes(self, inputs: int) -> list[tuple[int, ...]]:
        """Returns the shapes of the kernels, whose last sides are those of inputs and outputs."""

    @abc.abstractmethod
    def _norm(self, kernel: tf.Tensor) -> tf.Tensor:
        """Returns a bound of the spectral norm of a kernel's linear map."""

    @abc.abstractmethod
    def _linear(self, x: tf.Tensor, kernel: tf.Tensor, context: Context) -> tf.Tensor:
        """Returns a kernel's linear map of `[N, *event]`."""

    def build(self, input_shape):
        """Creates kernels, biases and the steepness of activations."""
        *hidden, end = self._kernel_shapes(input_shape[-1])
        steep = keras.initializers.Constant(STEEPNESS)
        self.hidden = [
            (
                self.weight(f"layer_{i}/kernel", shape, "lecun_normal"),
                self.weight(f"layer_{i}/bias", shape[-1:], "zeros"),
                self.weight(f"layer_{i}/steepness", (), steep),
            )
            for i, shape in enumerate(hidden)
        ]
        self.end = (
            self.weight("end/kernel", end, "zeros"),
            self.weight("end/bias", end[-1:], "zeros"),
        )
        *patch, _, width = hidden[0]
        self.of_given = self.given_kernel("of_given", width)
        if self.condition_channels:
            shape = (*patch, self.condition_channels, width)
            self.of_condition = self.weight("of_condition", shape, "zeros")
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        return self.linearized(context)(inputs)[0]

    def linearized(self, context: Context) -> Callable[[tf.Tensor], tuple[tf.Tensor, Push]]:
        """Returns the network as a function of `[N, *event]`, which gives also its derivative.

        What does not depend on the point is computed here, once for all calls of the function.

        Args:
            context: the per-call context.

        Raises:
            ValueError: labels or the condition are missing in a flow that has them.
        """
        compute = tf.as_dtype(self.variable_dtype if context.exact else self.compute_dtype)
        kernels = [
            tf.cast(kernel.value / tf.maximum(self._norm(kernel.value), 1), compute)
            for kernel, *_ in (*self.hidden, self.end)
        ]
        biases = [tf.cast(bias.value, compute) for _, bias, *_ in (*self.hidden, self.end)]
        steepness = [tf.nn.softplus(tf.cast(raw.value, compute)) for *_, raw in self.hidden]
        offset = self._offset(context, compute)

        def at(point: tf.Tensor) -> tuple[tf.Tensor, Push]:
            x, slopes = tf.cast(point, compute), []
            for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
                x = add_bias(self._linear(x, kernel, context), bias)
                if i == 0 and offset is not None:
                    x += offset
                if i < len(steepness):
                    x, slope = lip_swish(x, steepness[i])
                    slopes.append(slope)

            def push(tangents: tf.Tensor) -> tf.Tensor:
                count = tangents.shape[0]
                v = tf.reshape(tf.cast(tangents, compute), [-1, *tangents.shape[2:]])
                for i, kernel in enumerate(kernels):
                    v = self._linear(v, kernel, context)
                    if i < len(slopes):
                        by_direction = tf.reshape(v, [count, -1, *v.shape[1:]])
                        v = tf.reshape(by_direction * slopes[i], [-1, *v.shape[1:]])
                return tf.reshape(tf.cast(v, tangents.dtype), [count, -1, *v.shape[1:]])

            return tf.cast(x, point.dtype), push

        return at

    def _offset(self, context: Context, compute: tf.DType) -> tf.Tensor | None:
        """Returns what the context adds in front of the first activation."""
        parts = []
        given = self._given(context, compute)
        if given is not None:
            added = tf.linalg.matmul(given, tf.cast(self.of_given.value, compute))
            places = [1] * (self.event_ndims - 1)
            parts.append(tf.reshape(added, [-1, *places, added.shape[-1]]))
        if self.condition_channels:
            kernel = tf.cast(self.of_condition.value, compute)
            parts.append(self._linear(tf.cast(context.condition, compute), kernel, context))
        return sum(parts) if parts else None


def lip_swish(x: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `x sigmoid(b x) / 1.1` with the steepness `b`, and its slope."""
    inside = steepness * x
    sigmoid = tf.sigmoid(inside)
    return x * sigmoid / STEEPEST, sigmoid * (1 + inside * (1 - sigmoid)) / STEEPEST


class LipschitzMLP(Lipschitz):
    """Dense layers with LipSwish between them, of vectors; see `Lipschitz`.

    Args:
        widths: widths of the hidden layers, one or more.
        outputs: size of the output; None to let the bijector say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: no width, or one that is not positive.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import LipschitzMLP
        >>> LipschitzMLP(widths=(8,), outputs=3)(np.ones([2, 3], "float32")).shape
        TensorShape([2, 3])
    """

    event_ndims = 1

    def __init__(
        self, *, widths: Sequence[int] = (64, 64), outputs: int | None = None, **kwargs: Any
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.widths = arguments.widths("LipschitzMLP", "widths", widths, least=1)

    def _kernel_shapes(self, inputs):
        return list(itertools.pairwise([inputs, *self.widths, self.known_outputs()]))

    def _norm(self, kernel):
        return spectral_norm(kernel)

    def _linear(self, x, kernel, context):
        return tf.linalg.matmul(x, kernel)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "widths": list(self.widths)}
