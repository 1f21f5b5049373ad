"""Training steps that work on a part of the batch at a time, for its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfp_realnvp import arguments
from tfp_realnvp.distribution import Flow
from tfp_realnvp.sharding import check_rows_are_apart


class Microbatch(NamedTuple):
    """A part of a batch.

    Attributes:
        rows: which rows of the batch, int32 `[size]`; the last part repeats the first row.
        weight: `[size]`, of each row in the part's mean: the mean over the parts is that over the
            batch, and repeated rows have none.
        index: number of the part.
    """

    rows: tf.Tensor
    weight: tf.Tensor
    index: tf.Tensor


def check_microbatch(dist: Flow, size: int | None) -> None:
    """Checks that the batches of a flow may be worked on in parts.

    Raises:
        ValueError: the flow has statistics of whole batches, or the size is no positive number.
    """
    if size is None:
        return
    arguments.whole(dist.name, "microbatch", size)
    check_rows_are_apart(dist, f"no microbatch, got {size}")


def mean_over_microbatches(
    function: Callable[[Microbatch], Sequence[tf.Tensor]],
    like: Sequence[Any],
    *,
    count: tf.Tensor,
    size: int,
) -> list[tf.Tensor]:
    """Returns the means of what `function` returns for the parts of a batch, one after the other.

    The parts are as equal as can be. What a part takes is free again before the next begins.

    Args:
        function: of a part.
        like: tensors or variables of the shapes and dtypes of what it returns.
        count: rows of the batch, int32, at least 1.
        size: most rows of a part.

    Returns:
        The means, as many as `like` has members.
    """
    parts = -(-count // size)
    own = -(-count // parts)
    rows = tf.range(parts * own)
    weight = tf.where(rows < count, parts * own / count, 0.0)
    rows = tf.reshape(tf.where(rows < count, rows, 0), [parts, own])
    weight = tf.reshape(weight, [parts, own])

    def part(index, *sums):
        new = function(Microbatch(rows[index], weight[index], index))
        return [index + 1, *(a + b for a, b in zip(sums, new, strict=True))]

    start = [tf.zeros([], tf.int32), *(tf.zeros(x.shape, x.dtype) for x in like)]
    _, *sums = tf.while_loop(lambda index, *_: index < parts, part, start, parallel_iterations=1)
    return [x / tf.cast(parts, x.dtype) for x in sums]
