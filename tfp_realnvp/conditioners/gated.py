"""What the networks of gated convolutions share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.conditioners.attention import check_heads
from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.scaled_by_data import ScaledByData
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context
from tfp_realnvp.core.noise import row_noise


class Gated(Conditioner):
    """Residual blocks behind gates, `x + value * sigmoid(gate)` (arXiv:1902.00275).

    Between the convolutions all is in the weights' dtype: bfloat16 loses digits there, and
    TensorFlow's element-wise operations are slower in it than in float32.

    Args:
        width: hidden channels.
        blocks: number of blocks.
        dropout: rate of the dropout before each gate's convolution, in training; in `[0, 1)`.
        outputs: output channels; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width or blocks is not positive, or the rate is out of its range.
    """

    event_ndims = 3

    def __init__(
        self,
        *,
        width: int,
        blocks: int,
        dropout: float = 0.0,
        outputs: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(outputs=outputs, **kwargs)
        owner = type(self).__name__
        self.width = arguments.whole(owner, "width", width)
        self.blocks = arguments.whole(owner, "blocks", blocks)
        self.dropout = arguments.real(owner, "dropout", dropout, least=0, below=1)
        self._convolutions: list[tuple[Any, Any, float]] = []

    def checked_heads(self, heads: int, *, least: int) -> int:
        """Returns the number of heads of an attention over the hidden channels.

        Raises:
            ValueError: it does not divide the width.
        """
        owner = type(self).__name__
        arguments.whole(owner, "heads", heads, least=least)
        if heads:
            check_heads(owner, width=self.width, heads=heads)
        return heads

    def convolution(
        self, name: str, size: int, channels: int, filters: int, *, scale: float = 1.0
    ) -> tuple[Any, Any]:
        """Creates the kernel and the bias of a convolution, in the order in which they run.

        Args:
            name: name of the convolution.
            size: side of the kernel.
            channels: input channels.
            filters: output channels.
            scale: standard deviation at the start of what it makes of inputs of variance 1.
        """
        initializer: Any = "zeros"
        if scale:
            initializer = keras.initializers.VarianceScaling(scale**2)
        kernel = self.weight(f"{name}/kernel", (size, size, channels, filters), initializer)
        bias = self.weight(f"{name}/bias", (filters,), "zeros")
        self._convolutions.append((kernel, bias, scale))
        return kernel, bias

    def norm(self, name: str) -> tuple[Any, Any]:
        """Creates the scale and the bias of a layer norm."""
        return (
            self.weight(f"{name}/scale", (self.width,), "ones"),
            self.weight(f"{name}/bias", (self.width,), "zeros"),
        )

    def dropout_at(self, name: str, context: Context) -> Callable[[tf.Tensor], tf.Tensor] | None:
        """Returns the dropout at a place, or None where nothing is dropped."""
        if not self.dropout or not context.training or context.exact:
            return None
        return functools.partial(self._dropped, context, name)

    def _dropped(self, context, name, hidden):
        like = tf.cast(hidden, self.variable_dtype)
        noise = row_noise(like, context, f"{self._scope_path}/{name}/dropout")
        kept = hidden * tf.cast(1 / (1 - self.dropout), hidden.dtype)
        return tf.where(noise < self.dropout, tf.zeros_like(kept), kept)

    def initialize(self, inputs, context):
        """See `Conditioner.initialize`: the scales of the convolutions, in networks that ask."""
        x = tf.cast(inputs, self.variable_dtype)
        kernels = ScaledByData(convolutions=iter(self._convolutions))
        self.run(x, self._given(context, x.dtype), context.replace(kernels=kernels))
        self.initialized.assign(1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "blocks": self.blocks,
            "dropout": self.dropout,
        }


def values(weights: Sequence[Any], dtype: tf.DType) -> list[tf.Tensor]:
    """Returns the values of weights in a dtype."""
    return [tf.cast(weight.value, dtype) for weight in weights]
