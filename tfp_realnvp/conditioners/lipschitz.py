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

# No slope of x sigmoid(x) is above this.
STEEPEST = 1.1

#: Maps tangents `[M, N or 1, *event]` at the points of N rows to their images `[M, N, *outputs]`.
Push = Callable[[tf.Tensor], tf.Tensor]


class Lipschitz(Conditioner):
    """Linear maps with LipSwish between them: `|g(x) - g(y)| <= |x - y|` in the Euclidean norm.

    A kernel is divided by a bound of its linear map's spectral norm, where that is above 1. The
    activation is `x sigmoid(b x) / 1.1`, with a learned `b > 0` per layer (arXiv:1906.02735,
    section 3.3). The last kernel starts from zero. Labels of a class-conditional flow add a learned
    bias per class in front of the first activation.

    Subclasses say what the linear maps are. `linearized` gives the derivative with the value.

    Args:
        outputs: channels of the output; None to let the bijector say.
        **kwargs: see `keras.layers.Layer`.
    """

    event_ndims: int

    @abc.abstractmethod
    def _kernel_shapes(self, inputs: int) -> list[tuple[int, ...]]:
        """Returns the shapes of the kernels, of which the last side is that of the outputs."""

    @abc.abstractmethod
    def _norm(self, kernel: tf.Tensor) -> tf.Tensor:
        """Returns a bound of the spectral norm of a kernel's linear map."""

    @abc.abstractmethod
    def _linear(self, x: tf.Tensor, kernel: tf.Tensor, context: Context) -> tf.Tensor:
        """Returns a kernel's linear map of `[N, *event]`."""

    def build(self, input_shape):
        """Creates kernels, biases and the steepness of activations."""
        *hidden, end = self._kernel_shapes(input_shape[-1])
        self.kernels = [
            self.weight(f"layer_{i}/kernel", shape, "lecun_normal")
            for i, shape in enumerate(hidden)
        ]
        self.biases = [
            self.weight(f"layer_{i}/bias", shape[-1:], "zeros") for i, shape in enumerate(hidden)
        ]
        half = keras.initializers.Constant(0.5)
        self.steepness = [self.weight(f"layer_{i}/steepness", (), half) for i in range(len(hidden))]
        if self.num_classes is not None:
            shape = (self.num_classes, hidden[0][-1])
            self.class_bias = self.weight("layer_0/class_bias", shape, "zeros")
        self.kernels.append(self.weight("end/kernel", end, "zeros"))
        self.biases.append(self.weight("end/bias", end[-1:], "zeros"))
        self.built = True

    def run(self, inputs, classes, context):
        """See `Conditioner.run`."""
        return self._function(classes, inputs.dtype, context)(inputs)[0]

    def linearized(self, context: Context) -> Callable[[tf.Tensor], tuple[tf.Tensor, Push]]:
        """Returns the network as a function of `[N, *event]`, which gives also its derivative.

        What does not depend on the point is computed here, once for all calls of the function.

        Args:
            context: the per-call context.

        Raises:
            ValueError: labels are missing in a class-conditional flow.
        """
        compute = tf.as_dtype(self.variable_dtype if context.exact else self.compute_dtype)
        function = self._function(self._classes(context.labels, compute), compute, context)

        def at(x: tf.Tensor) -> tuple[tf.Tensor, Push]:
            value, push = function(tf.cast(x, compute))
            return tf.cast(value, x.dtype), lambda v: tf.cast(push(tf.cast(v, compute)), v.dtype)

        return at

    def _function(self, classes, compute: tf.DType, context: Context):
        kernels = [
            tf.cast(kernel.value / tf.maximum(self._norm(kernel.value), 1), compute)
            for kernel in self.kernels
        ]
        biases = [tf.cast(bias.value, compute) for bias in self.biases]
        if classes is not None:
            by_class = tf.linalg.matmul(classes, tf.cast(self.class_bias.value, compute))

        def function(x):
            middle = [1] * (x.shape.rank - 2)
            slopes = []
            for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
                x = self._linear(x, kernel, context) + bias
                if i == 0 and classes is not None:
                    x += tf.reshape(by_class, [-1, *middle, by_class.shape[-1]])
                if i < len(self.steepness):
                    x, slope = lip_swish(x, tf.cast(self.steepness[i].value, compute))
                    slopes.append(slope)

            def push(tangents):
                for i, kernel in enumerate(kernels):
                    flat = tf.reshape(tangents, [-1, *tangents.shape[2:]])
                    flat = self._linear(flat, kernel, context)
                    tangents = tf.reshape(flat, [tangents.shape[0], -1, *flat.shape[1:]])
                    if i < len(slopes):
                        tangents *= slopes[i]
                return tangents

            return x, push

        return function


def lip_swish(x: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `x sigmoid(b x) / 1.1` with `b = softplus(steepness)`, and its slope."""
    inside = tf.nn.softplus(steepness) * x
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
