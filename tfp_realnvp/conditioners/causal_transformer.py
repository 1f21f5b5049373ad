"""A causal transformer: what it gives for a token depends on that token and those before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.conditioners.attention import check_heads
from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.transformer import (
    Cache,
    TransformerBlocks,
    cast,
    dense,
    dense_weights,
)
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context
from tfp_realnvp.kernels.layer_norm import EPSILON

#: From a token `[N, 1, K]`, its number and the cache to the outputs `[N, 1, outputs]` and a cache.
TokenStep = Callable[[tf.Tensor, Any, Cache], tuple[tf.Tensor, Cache]]


class CausalTransformer(Conditioner):
    """Causal attention over tokens `[N, T, K]`, with a zero-initialised end (arXiv:2412.06329).

    With learned positions p, `h = dense(y) + p` goes through blocks of a transformer in which each
    token sees itself and those before it (see `TransformerBlocks`), with the exact GELU, and the
    result through a last norm, `h <- scale * h / sqrt(mean(h^2) + 1e-6)`, and a dense layer to the
    outputs. Labels and the vector of a condition add what is linear in them to each channel of all
    tokens. In mixed precision the matrix products alone are in the compute dtype.

    The outputs for all tokens come from one run; `stepwise` gives them one token after the other,
    with the keys and values of those before kept.

    Args:
        width: channels of a token within.
        depth: number of blocks.
        heads: number of heads, a divisor of the width.
        last_norm: whether there is a last norm, as STARFlow has it (arXiv:2506.06276); TarFlow has
            none.
        outputs: channels of the output; None to let the bijector say.
        **kwargs: see `keras.layers.Layer`.

    Raises:
        ValueError: width, depth or heads is not positive, or the heads do not divide the width.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.conditioners import CausalTransformer
        >>> tokens = np.ones([2, 5, 3], "float32")
        >>> CausalTransformer(width=8, depth=1, heads=2, outputs=6)(tokens).shape
        TensorShape([2, 5, 6])
    """

    event_ndims = 2

    def __init__(
        self,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 2,
        last_norm: bool = True,
        outputs: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(outputs=outputs, **kwargs)
        self.width = arguments.whole("CausalTransformer", "width", width)
        self.depth = arguments.whole("CausalTransformer", "depth", depth)
        self.heads = arguments.whole("CausalTransformer", "heads", heads)
        self.last_norm = arguments.instance("CausalTransformer", "last_norm", last_norm, bool)
        check_heads("CausalTransformer", width=width, heads=heads)

    def build(self, input_shape):
        """Creates kernels, biases, positions and norms."""
        _, tokens, channels = input_shape
        self.start = dense_weights(self, "start", channels, self.width)
        small = keras.initializers.RandomNormal(stddev=1e-2)
        self.positions = self.weight("positions", (tokens, self.width), small)
        self.of_given = self.given_kernel("class_bias", self.width)
        self.blocks = TransformerBlocks(
            self,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            causal=True,
            approximate=False,
        )
        if self.last_norm:
            self.norm_scale = self.weight("norm/scale", (self.width,), "ones")
        self.end = dense_weights(self, "end", self.width, self.known_outputs(), "zeros")
        self.built = True

    def run(self, inputs, given, context):
        """See `Conditioner.run`."""
        x = self._embedded(inputs, self.positions.value, given)
        return self._outputs(self.blocks(x, inputs.dtype), inputs.dtype)

    def stepwise(self, like: tf.Tensor, context: Context) -> tuple[Cache, TokenStep]:
        """Returns what computes `parameters` one token after the other.

        The work of a step grows with the number of tokens only by its attention, where a run for
        each token would be the whole of it again.

        Args:
            like: a tensor `[N, T, K]` of all tokens, of which the shape counts.
            context: the per-call context.

        Returns:
            An empty cache of keys and values, and the step, to be called for the tokens from
            number 0 on, each time with the cache that the step before returned.
        """
        compute = self.variable_dtype if context.exact else self.compute_dtype
        given = self._given(context, compute)

        def step(token, index, cache):
            x = tf.cast(token, compute)
            x = self._embedded(x, tf.gather(self.positions.value, index), given)
            x, cache = self.blocks.step(x, index, cache)
            return tf.cast(self._outputs(x, compute), token.dtype), cache

        rows = tf.shape(like)[0] if like.shape[0] is None else like.shape[0]
        return self.blocks.empty_cache(rows, like.shape[1], compute), step

    def _embedded(self, inputs, positions, given):
        wide = self.variable_dtype
        x = tf.cast(dense(inputs, self.start), wide) + positions
        if given is None:
            return x
        return x + tf.linalg.matmul(tf.cast(given, wide), self.of_given.value)[:, None]

    def _outputs(self, x, compute):
        if self.last_norm:
            x *= tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + EPSILON)
            x *= cast([self.norm_scale], x.dtype)[0]
        return dense(tf.cast(x, compute), self.end)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "depth": self.depth,
            "heads": self.heads,
            "last_norm": self.last_norm,
        }
