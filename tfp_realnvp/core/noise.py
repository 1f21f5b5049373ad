"""Noise by row: what a row draws is a function of the seed, the place in the flow, and the row.

It comes from Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), a
function of a key and a counter: the seed and the path make the key, the number of the row in the
whole batch and that of the draw the counter. Any part of a batch gets just that part of the whole
batch's noise, wherever it is worked on.
"""

from __future__ import annotations

import math

import tensorflow as tf

from tfp_realnvp.core.context import Context
from tfp_realnvp.core.replicas import rows_before

PHILOX = 1
# What Philox makes of one counter.
BYTES = 16


def row_noise(like: tf.Tensor, context: Context, path: str) -> tf.Tensor:
    """Returns uniform noise in `[0, 1)`, each row's own.

    Args:
        like: a tensor `[N, *event]` of the shape and dtype of the noise.
        context: the per-call context; see `Context.seed`, `first_row`, `origins` and `draw`.
        path: where in the flow the noise is for; each place has its own.
    """
    if context.origins is not None:

        def of_one(origin: tf.Tensor) -> tf.Tensor:
            own = context.replace(origins=None, seed=origin[:2], first_row=origin[2])
            return row_noise(tf.zeros([1, *like.shape[1:]], like.dtype), own, path)[0]

        spec = tf.TensorSpec(like.shape[1:], like.dtype)
        return tf.map_fn(of_one, context.origins, fn_output_signature=spec)
    count = tf.shape(like)[0]
    first = context.first_row
    if first is None:
        own = count - tf.cast(context.is_empty, tf.int32)
        first = 0 if context.seed is None else rows_before(own)
    # Eager, graph and XLA draw the same integers but make floats of other bits of them.
    unsigned, spare = (tf.uint64, 11) if like.dtype == tf.float64 else (tf.uint32, 8)
    size = math.prod(like.shape[1:])
    blocks = -(-size * unsigned.size // BYTES)
    row = blocks * BYTES // unsigned.size
    counter = [tf.cast(first, tf.int64) * blocks, tf.cast(context.draw, tf.int64)]
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=(count * row)[None],
        key=tf.bitcast(context.fold_in(path), tf.uint64)[None],
        counter=tf.cast(tf.stack(counter), tf.uint64),
        alg=PHILOX,
        dtype=unsigned,
    )
    bits = tf.reshape(tf.reshape(bits, [-1, row])[:, :size], tf.shape(like))
    whole = tf.bitwise.right_shift(bits, tf.constant(spare, unsigned))
    noise = tf.cast(whole, like.dtype) / 2.0 ** (unsigned.size * 8 - spare)
    return tf.ensure_shape(noise, like.shape)


def shared_noise(like: tf.Tensor, context: Context, path: str) -> tf.Tensor:
    """Returns uniform noise `[1, *event]`, the same for all rows, and in all calls but by seed.

    Args:
        like: a tensor `[N, *event]`.
        context: the per-call context; without a seed, it is as with `(0, 0)`.
        path: where in the flow the noise is for.
    """
    seed = (0, 0) if context.seed is None else context.seed
    row = tf.zeros([1, *like.shape[1:]], like.dtype)
    return row_noise(row, context.replace(origins=None, seed=seed, first_row=0), path)


def normal_rows(origins: tf.Tensor, size: int, dtype: tf.DType) -> tf.Tensor:
    """Returns standard normal numbers `[N, size]`, each row of a seed of its own.

    Row k is, bit for bit, row `origins[k, 2]` of what `tf.random.stateless_normal` draws by
    Philox with the seed `origins[k, :2]` and the shape `[R, size]`, for any R.

    Args:
        origins: see `Context.origins`.
        size: numbers of a row.
        dtype: of the result.
    """
    each = BYTES // dtype.size

    def of_one(origin: tf.Tensor) -> tf.Tensor:
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=origin[:2])
        first = tf.cast(origin[2], tf.int64) * size
        counter += tf.cast(tf.stack([first // each, 0]), tf.uint64)
        drawn = tf.raw_ops.StatelessRandomNormalV2(
            shape=[size + each], key=key, counter=counter, alg=PHILOX, dtype=dtype
        )
        start = tf.cast(first % each, tf.int32)  # a row may begin inside of what a counter makes
        return tf.ensure_shape(drawn[start : start + size], [size])

    return tf.map_fn(of_one, origins, fn_output_signature=tf.TensorSpec([size], dtype))
