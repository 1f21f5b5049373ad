"""Training steps that work on a part of the batch at a time, for its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.execution.shards import check_rows_are_apart
from tfp_realnvp.flow import Flow


class Microbatch(NamedTuple):
    """A part of a batch.

    Attributes:
        rows: which rows of the batch, int32 `[size]`; the last part repeats the first row.
        counts: `[size]`, 1 for rows of the part and 0 for repeated ones.
        index: number of the part.
        share: of the part in what belongs to the batch as a whole, such as a penalty.
    """

    rows: tf.Tensor
    counts: tf.Tensor
    index: tf.Tensor
    share: tf.Tensor


def check_microbatch(dist: Flow, size: int | None) -> None:
    """Checks that the batches of a flow may be worked on in parts.

    Raises:
        ValueError: the flow has statistics of whole batches, or the size is no positive number.
    """
    if size is None:
        return
    arguments.whole(dist.name, "microbatch", size)
    check_rows_are_apart(dist, f"no microbatch, got {size}")


def sum_over_microbatches(
    function: Callable[[Microbatch], Sequence[tf.Tensor]],
    like: Sequence[Any],
    *,
    count: tf.Tensor,
    size: int,
) -> list[tf.Tensor]:
    """Returns the sums of what `function` returns for the parts of a batch, one after the other.

    The parts are as equal as can be. What a part takes is free again before the next begins.

    Args:
        function: of a part.
        like: tensors or variables of the shapes and dtypes of what it returns.
        count: rows of the batch, int32.
        size: most rows of a part.

    Returns:
        The sums, as many as `like` has members.
    """
    parts = tf.maximum(-(-count // size), 1)
    own = -(-count // parts)
    rows = tf.range(parts * own)
    counts = tf.reshape(tf.where(rows < count, 1.0, 0.0), [parts, own])
    rows = tf.reshape(tf.where(rows < count, rows, 0), [parts, own])

    def part(index, *sums):
        new = function(Microbatch(rows[index], counts[index], index, 1 / parts))
        return [index + 1, *(a + b for a, b in zip(sums, new, strict=True))]

    start = [tf.zeros([], tf.int32), *(tf.zeros(x.shape, x.dtype) for x in like)]
    return tf.while_loop(lambda index, *_: index < parts, part, start, parallel_iterations=1)[1:]
