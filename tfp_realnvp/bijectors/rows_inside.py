"""The rows of a batch inside of a bijector: what each is given, and batches of none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_realnvp.core.context import Context, Scope
from tfp_realnvp.core.data_checks import asserted_labels, check_condition, check_labels
from tfp_realnvp.core.row_checks import condition_for_rows, labels_of_rows, spread_over_rows


def context_of_rows(
    context: Context,
    batch: tf.Tensor,
    *,
    scope: Scope,
    condition_shape: tuple[int | None, ...] | None,
    required: bool,
    seen_as: Callable[[tf.Tensor, Context], tf.Tensor],
    name: str,
) -> Context:
    """Returns a context with a label and a condition for each row; see `FlowBijector.within`.

    Args:
        context: as users make it.
        batch: shape of the batch, int32 `[ndims]`.
        scope: where the bijector is built.
        condition_shape: of the condition of one row; None for none.
        required: whether labels and a condition, where the flow has them, must be there.
        seen_as: makes of a condition `[M, *condition_shape]` what members see.
        name: name of the bijector, for messages.

    Raises:
        ValueError: labels or a condition missing or uncalled for, or others than fit.
    """
    labels, condition, count = context.labels, context.condition, scope.num_classes
    if labels is not None or (required and count is not None):
        check_labels(labels, count, name=name)
        assert count is not None
        labels = labels_of_rows(labels, batch, name=name)
        # What could be looked at has been; a graph looks when it runs.
        labels = labels if tf.executing_eagerly() else asserted_labels(labels, count)
        context = context.replace(labels=labels)
    missing = condition is None and required and condition_shape is not None
    if context.vector is not None or not (missing or condition is not None):
        return context
    check_condition(condition, condition_shape, name=name)
    assert condition_shape is not None
    given = condition_for_rows(condition, condition_shape, batch, dtype=scope.dtype, name=name)
    rank = given.shape.rank - len(condition_shape)
    own, one = tf.shape(given)[:rank], tf.shape(given)[rank:]
    # Seen before it is spread: what is one for all is seen once.
    seen = seen_as(tf.reshape(given, tf.concat([[-1], one], 0)), context)
    seen = tf.reshape(seen, tf.concat([own, seen.shape[1:]], 0))
    rows = spread_over_rows(seen, rank, batch)
    if scope.vector_size and not scope.condition_channels:
        return context.replace(condition=None, vector=rows)
    return context.replace(condition=rows)


def of_any_count(
    method: Callable[[tf.Tensor, Context], tuple[tf.Tensor, tf.Tensor]],
    rows: tf.Tensor,
    context: Context,
    *,
    convolves: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `method(rows, context)`, of no rows as well: fused convolutions refuse these."""
    if not convolves or rows.shape[0]:
        return method(rows, context)
    count = tf.shape(rows)[0]
    is_empty = tf.equal(count, 0)
    missing = tf.cast(is_empty, tf.int32)

    def filled(value: Any) -> Any:
        if value is None:
            return None
        return tf.concat([value, tf.zeros([missing, *value.shape[1:]], value.dtype)], 0)

    own = context.replace(
        labels=filled(context.labels),
        condition=filled(context.condition),
        vector=filled(context.vector),
        origins=filled(context.origins),
        is_empty=is_empty,
    )
    value, log_det = method(filled(rows), own)
    return value[:count], log_det[:count]
