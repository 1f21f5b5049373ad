"""The rows of a batch in chunks that stay in a core's cache, several at once, in one graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import tensorflow as tf

# Images of 28x28 pixels in a chunk: the activations of a conditioner for them fill a few MB.
ROWS, PIXELS = 16, 28 * 28
# A smaller part of a full chunk than this is not worth another one.
SMALLEST_PART = 4


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
) -> tf.Tensor:
    """Returns `function(chunk index, *batch)`, computed chunk by chunk in a graph.

    As many chunks are worked on at once as there are cores, so that a batch fills them even where
    one operation does not.

    Args:
        function: takes the index of a chunk, then its rows of each member of the batch, and
            returns a tensor with as many rows; every row's result depends on that row alone.
        batch: tensors of at least one row, all of as many, or None.
        rows: the most rows of a chunk; None for the whole batch at once.
        dtype: of the result.
    """
    if rows is None:
        return function(0, *batch)
    cores = os.cpu_count() or 1
    given = [x is not None for x in batch]
    tensors = [x for x in batch if x is not None]
    count = tf.shape(tensors[0])[0]
    # Every core gets as many chunks, unless these would be tiny.
    chunks = _ceil(_ceil(count, rows), cores) * cores
    chunks = tf.maximum(1, tf.minimum(chunks, count * SMALLEST_PART // rows))
    size = _ceil(count, chunks)
    missing = chunks * size - count

    def cut(x: tf.Tensor) -> tf.Tensor:
        filled = tf.concat([x, x[:missing]], 0)
        return tf.reshape(filled, tf.concat([[chunks, size], tf.shape(x)[1:]], 0))

    def call(members: tuple) -> tf.Tensor:
        index, *values = members
        for value, x in zip(values, tensors, strict=True):
            value.set_shape([None, *x.shape[1:]])
        parts = iter(values)
        return function(index, *[next(parts) if there else None for there in given])

    results = tf.map_fn(
        call,
        (tf.range(chunks), *map(cut, tensors)),
        fn_output_signature=dtype,
        parallel_iterations=cores,
    )
    return tf.reshape(results, tf.concat([[chunks * size], tf.shape(results)[2:]], 0))[:count]


def _ceil(count, divisor):
    return -(-count // divisor)
