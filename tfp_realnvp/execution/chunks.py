"""The rows of a batch in chunks that stay in a core's cache, several at once, in one graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfp_realnvp.kernels import Kernels

# Images of 28x28 pixels in a chunk: the activations of a conditioner for them fill a few MB.
ROWS, PIXELS = 16, 28 * 28
# A smaller part of a full chunk than this is not worth another one.
SMALLEST_PART = 4
# Sizes of a chunk that XLA compiles for; the sizes between are filled up to the next.
SIZES = 4


def rows_of_chunk(event_shape: Sequence[int]) -> int | None:
    """Returns how many rows a chunk has at most; None for vectors, which are not worth chunks."""
    if len(event_shape) < 3:
        return None
    return max(ROWS, ROWS * PIXELS // (event_shape[0] * event_shape[1]))


def map_chunks(
    function: Callable[..., tf.Tensor],
    batch: Sequence[tf.Tensor | None],
    *,
    rows: int | None,
    dtype: tf.DType,
    kernels: Kernels,
) -> tf.Tensor:
    """Returns `function(chunk index, *batch)`, computed chunk by chunk in a graph.

    As many chunks are worked on at once as there are cores, so that a batch fills them even where
    one operation does not. With XLA's programs between the convolutions, which are compiled for
    each size of a chunk, there are few sizes, and the last chunk is filled up with rows again.

    Args:
        function: takes the index of a chunk, then its rows of each member of the batch, and
            returns a tensor with as many rows; every row's result depends on that row alone.
        batch: tensors of at least one row, all of as many, or None.
        rows: the most rows of a chunk; None for the whole batch at once.
        dtype: of the result.
        kernels: those that the function computes with.
    """
    given = next(x for x in batch if x is not None)
    if rows is None or given.shape[0] == 1 or not kernels.divides:
        return function(0, *batch)
    cores = os.cpu_count() or 1
    count = tf.shape(given)[0]
    # Every core gets as many chunks, unless these would be tiny.
    chunks = _ceil(_ceil(count, rows), cores) * cores
    chunks = tf.maximum(1, tf.minimum(chunks, count * SMALLEST_PART // rows))
    size = _ceil(count, chunks)
    if filled := kernels.by_xla:
        step = _ceil(rows, SIZES)
        size = tf.minimum(_ceil(size, step) * step, rows)
    chunks = _ceil(count, size)  # none is empty

    # Not `tf.map_fn`: an error on the way through it spoils later variables of a `tf.distribute`.
    def body(index, results):
        start, stop = index * size, (index + 1) * size

        def part(x):
            if filled:
                return tf.gather(x, tf.minimum(tf.range(start, stop), count - 1))
            return x[start:stop]

        members = [None if x is None else part(x) for x in batch]
        result = function(index, *members)
        shapes.append(result.shape[1:])
        return index + 1, results.write(index, result)

    shapes: list[tf.TensorShape] = []
    results = tf.TensorArray(dtype, size=chunks, infer_shape=False)
    _, results = tf.while_loop(
        lambda index, _: index < chunks, body, (0, results), parallel_iterations=cores
    )
    result = results.concat()
    return tf.ensure_shape(result[:count] if filled else result, [None, *shapes[0]])


def _ceil(count, divisor):
    return -(-count // divisor)
