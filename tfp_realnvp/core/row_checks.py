"""Labels and conditions for the rows of a batch: checked to fit it, and spread over it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.framework import tensor_util

from tfp_realnvp.core.data_checks import asserted


def labels_of_rows(labels: Any, batch: tf.Tensor, *, name: str) -> tf.Tensor:
    """Returns one label for each row of a batch, flat.

    Args:
        labels: integers of the shape of the batch, of its last dimensions, of either with a last
            dimension of 1 more, or one for all.
        batch: shape of the batch, int32 `[ndims]`.
        name: name of the flow, for the message.

    Returns:
        int32 `[N]`, N the product of the batch's sides.

    Raises:
        ValueError: labels of another shape.
        tf.errors.InvalidArgumentError: in a graph, where shapes are known when it runs.
    """
    labels = tf.convert_to_tensor(labels)
    static = tensor_util.constant_value_as_shape(batch)
    expected = (
        f"labels must be one for each row of a batch of shape {tuple(static)}, or one for all"
    )
    if not _fits(labels.shape, (), static) and len(labels.shape) > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if not _fits(labels.shape, (), static):
        raise ValueError(f"{name}: {expected}; got labels of shape {tuple(labels.shape)}.")
    labels = _checked(tf.cast(labels, tf.int32), labels.shape.rank, batch, expected + ".")
    return spread_over_rows(labels, labels.shape.rank, batch)


def condition_for_rows(
    condition: Any, shape: tuple[int | None, ...], batch: tf.Tensor, *, dtype: Any, name: str
) -> tf.Tensor:
    """Returns a condition that is known to fit a batch, as it came.

    Args:
        condition: numbers of the shape of the batch, or of its last dimensions, and then that of
            one row's condition; or one for all.
        shape: of the condition of one row.
        batch: shape of the batch, int32 `[ndims]`.
        dtype: of the result.
        name: name of the flow, for the message.

    Raises:
        ValueError: a condition of another shape.
        tf.errors.InvalidArgumentError: in a graph, where shapes are known when it runs.
    """
    condition = tf.convert_to_tensor(condition)
    static = tensor_util.constant_value_as_shape(batch)
    expected = (
        f"the condition must have shape {shape} for each row of a batch of shape {tuple(static)}, "
        "or for all"
    )
    if not _fits(condition.shape, shape, static):
        raise ValueError(f"{name}: {expected}; got a condition of shape {tuple(condition.shape)}.")
    rank = condition.shape.rank - len(shape)
    return _checked(tf.cast(condition, dtype), rank, batch, expected + ".")


def spread_over_rows(values: tf.Tensor, rank: int, batch: tf.Tensor) -> tf.Tensor:
    """Returns what fits the last dimensions of a batch, for each of its rows, flat.

    Args:
        values: `[*last, *event]`.
        rank: number of the batch's dimensions that it has.
        batch: shape of the batch, int32 `[ndims]`.

    Returns:
        `[N, *event]`, N the product of the batch's sides.
    """
    event = tf.shape(values)[rank:]
    whole = tf.broadcast_to(values, tf.concat([batch, event], 0))
    rows = tf.reshape(whole, tf.concat([[-1], event], 0))
    return tf.ensure_shape(rows, (None, *values.shape[rank:]))


def _fits(shape: tf.TensorShape, event: tuple[int | None, ...], batch: tf.TensorShape) -> bool:
    """Whether a shape is the event's behind the last dimensions of a batch, or none of them."""
    rank = len(shape) - len(event)
    expected = batch[len(batch) - rank :].concatenate(event)
    return 0 <= rank <= len(batch) and expected.is_compatible_with(shape)


def _checked(values: tf.Tensor, rank: int, batch: tf.Tensor, sentence: str) -> tf.Tensor:
    """Returns values of which a graph checks the dimensions that it learns when it runs."""
    static = tensor_util.constant_value_as_shape(batch)
    if not rank or (values.shape[:rank].is_fully_defined() and static.is_fully_defined()):
        return values
    same = tf.reduce_all(tf.equal(tf.shape(values)[:rank], batch[len(static) - rank :]))
    return asserted(values, same, sentence)
