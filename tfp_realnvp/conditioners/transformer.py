"""A transformer on tokens: the blocks of conditioners that see an image as a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.conditioners.attention import check_heads, gather, queries_keys_values
from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.kernels.bias import add_bias
from tfp_realnvp.kernels.gelu import gelu
from tfp_realnvp.kernels.layer_norm import layer_norm

#: Keys and values of each block, `[N, heads, T, width / heads]`.
Cache = list[tuple[tf.Tensor, tf.Tensor]]


class TransformerBlocks:
    """Pre-norm transformer blocks on `[N, T, width]` (arXiv:1706.03762, arXiv:2010.11929).

    A block adds attention, and then a perceptron for each token, to what passes by:

    * `x <- x + dense(attention(dense(norm(x))))`, the inner layer to queries, keys and values;
    * `x <- x + dense(gelu(dense(norm(x))))`, the inner layer to `4 width`.

    Matrix products, attention's included, are in the compute dtype, all else in the weights'.

    Args:
        owner: the conditioner that holds the weights.
        width: channels of a token.
        depth: number of blocks.
        heads: number of heads, a divisor of the width.
        causal: whether a token sees itself and those before it alone.
        approximate: whether the GELU is that by tanh, or the exact one (arXiv:1606.08415).

    Raises:
        ValueError: the heads do not divide the width.
    """

    def __init__(
        self,
        owner: Conditioner,
        *,
        width: int,
        depth: int,
        heads: int,
        causal: bool = False,
        approximate: bool = True,
    ):
        check_heads(type(owner).__name__, width=width, heads=heads)
        self.width, self.heads = width, heads
        self.causal, self.approximate = causal, approximate
        self.wide = tf.as_dtype(owner.variable_dtype)
        self.blocks = [
            {
                "norm": norm_weights(owner, f"block_{i}/norm", width),
                # What is Glorot's for the three kernels apart.
                "project": dense_weights(
                    owner, f"block_{i}/project", width, 3 * width, "lecun_uniform"
                ),
                "gather": dense_weights(owner, f"block_{i}/gather", width, width),
                "wide_norm": norm_weights(owner, f"block_{i}/wide_norm", width),
                "widen": dense_weights(owner, f"block_{i}/widen", width, 4 * width),
                "narrow": dense_weights(owner, f"block_{i}/narrow", 4 * width, width),
            }
            for i in range(depth)
        ]

    def __call__(self, x: tf.Tensor, compute: tf.DType) -> tf.Tensor:
        """Runs the blocks on all tokens at once.

        Args:
            x: `[N, T, width]`, in the weights' dtype.
            compute: dtype of the matrix products.
        """
        mask = np.tri(x.shape[1], dtype=bool) if self.causal else None
        for block in self.blocks:
            queries, keys, values = self._projections(block, x, compute)
            gathered = gather(queries, keys, values, wide=self.wide, mask=mask)
            x = self._rest(block, x, gathered)
        return x

    def empty_cache(self, rows: Any, tokens: int, compute: tf.DType) -> Cache:
        """Returns the cache from which `step` starts, for so many rows and tokens."""
        shape = [rows, self.heads, tokens, self.width // self.heads]
        return [(tf.zeros(shape, compute), tf.zeros(shape, compute)) for _ in self.blocks]

    def step(
        self, x: tf.Tensor, index: Any, cache: Sequence[tuple[tf.Tensor, tf.Tensor]]
    ) -> tuple[tf.Tensor, Cache]:
        """Runs causal blocks on one token, given what those before it have left.

        Args:
            x: token number `index` of each row, `[N, 1, width]`, in the weights' dtype.
            index: an int or int32 scalar.
            cache: as the steps of the tokens before have left it.

        Returns:
            What `__call__` gives for this token, `[N, 1, width]`, and the cache with its keys and
            values, whose shapes and dtype, that of the products, do not change.
        """
        tokens = tf.range(cache[0][0].shape[2])
        updated = []
        for block, (keys, values) in zip(self.blocks, cache, strict=True):
            queries, key, value = self._projections(block, x, keys.dtype)
            keys, values = _with(keys, key, index), _with(values, value, index)
            gathered = gather(queries, keys, values, wide=self.wide, mask=tokens <= index)
            x = self._rest(block, x, gathered)
            updated.append((keys, values))
        return x, updated

    def _projections(self, block, x, compute):
        normal = tf.cast(layer_norm(x, *cast(block["norm"], self.wide)), compute)
        return queries_keys_values(dense(normal, block["project"]), heads=self.heads)

    def _rest(self, block, x, gathered):
        compute = gathered.dtype
        x += tf.cast(dense(gathered, block["gather"]), self.wide)
        hidden = tf.cast(layer_norm(x, *cast(block["wide_norm"], self.wide)), compute)
        hidden = tf.cast(dense(hidden, block["widen"]), self.wide)
        hidden = tf.cast(gelu(hidden, approximate=self.approximate), compute)
        return x + tf.cast(dense(hidden, block["narrow"]), self.wide)


def _with(kept: tf.Tensor, new: tf.Tensor, index: Any) -> tf.Tensor:
    """Returns what is kept of all tokens, with what is new of the token of that number.

    TensorFlow writes over what nothing else needs; to choose between old and new everywhere would
    take longer than a step's products.
    """
    heads, tokens, size = kept.shape[1:]
    flat = tf.reshape(kept, [-1, tokens, size])
    rows = tf.range(tf.shape(flat)[0])
    places = tf.stack([rows, tf.fill(tf.shape(rows), index)], 1)
    flat = tf.tensor_scatter_nd_update(flat, places, tf.reshape(new, [-1, size]))
    return tf.reshape(flat, [-1, heads, tokens, size])


def dense_weights(
    owner: Conditioner,
    name: str,
    inputs: int,
    outputs: int,
    initializer: Any = "glorot_uniform",
) -> list[Any]:
    """Creates the kernel and the bias of a dense layer."""
    return [
        owner.weight(f"{name}/kernel", (inputs, outputs), initializer),
        owner.weight(f"{name}/bias", (outputs,), "zeros"),
    ]


def norm_weights(owner: Conditioner, name: str, channels: int) -> list[Any]:
    """Creates the scale and the bias of a layer norm."""
    return [
        owner.weight(f"{name}/scale", (channels,), "ones"),
        owner.weight(f"{name}/bias", (channels,), "zeros"),
    ]


def dense(x: tf.Tensor, weights: Sequence[Any]) -> tf.Tensor:
    """Returns a dense layer's `[N, T, outputs]` of `[N, T, inputs]`, in the dtype of these."""
    kernel, bias = cast(weights, x.dtype)
    # As one matrix: TensorFlow would copy the kernel to each row of a batch of them.
    flat = tf.reshape(x, [-1, x.shape[-1]])
    result = add_bias(tf.linalg.matmul(flat, kernel), bias)
    return tf.reshape(result, [-1, *x.shape[1:-1], kernel.shape[1]])


def cast(weights: Sequence[Any], dtype: tf.DType) -> list[tf.Tensor]:
    """Returns the values of some weights as `dtype`."""
    return [tf.cast(weight.value, dtype) for weight in weights]
