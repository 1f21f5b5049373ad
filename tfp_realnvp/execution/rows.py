"""The one place where a batch is divided into parts: for values, and for sums such as gradients."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core.context import Context
from tfp_realnvp.core.replicas import rows_before
from tfp_realnvp.core.stored import Rows
from tfp_realnvp.execution.plan import Plan


def map_rows(
    function: Callable[..., tf.Tensor],
    batch: Sequence[tf.Tensor],
    context: Context,
    plan: Plan,
    *,
    dtype: tf.DType,
) -> tf.Tensor:
    """Returns `function(*batch, context)`, worked on as a plan has it.

    Args:
        function: of some rows of the batch and their context; returns a tensor of as many rows,
            each of which depends on that row, its number, its label and its condition alone. It
            asserts nothing of its result: the next part would wait for that.
        batch: tensors `[N, ...]`.
        context: of the whole batch; its labels are `[N]` or one for all, its condition
            `[N, *condition_shape]`.
        plan: how the rows are worked on.
        dtype: of the result.

    Returns:
        A tensor `[N, ...]`.
    """
    division = _Division(batch, context, plan)
    if division.is_whole:
        return function(*batch, division.context)
    if division.is_one_round:
        result = tf.concat([function(*division.part(k)) for k in range(plan.parts)], 0)
    else:
        events: list[tf.TensorShape] = []

        # Not `tf.map_fn`: an error on the way through it spoils later variables of a strategy.
        def body(index, results):
            result = function(*division.part(index))
            events.append(result.shape[1:])
            return index + 1, results.write(index, result)

        results = tf.TensorArray(dtype, size=division.number, element_shape=None)
        result = division.loop(body, [results])[0].stack()
        result = tf.reshape(result, [-1, *events[0]])
    return tf.ensure_shape(result[: division.count], [batch[0].shape[0], *result.shape[1:]])


def sum_over_rows(
    function: Callable[..., Sequence[tf.Tensor]],
    batch: Sequence[tf.Tensor],
    weights: tf.Tensor,
    context: Context,
    plan: Plan,
    *,
    like: Sequence[Any],
) -> list[tf.Tensor]:
    """Returns the sums of what `function(*batch, weights, context)` returns of the parts.

    What a round takes is free again before the next begins.

    Args:
        function: of some rows of the batch, their weights and their context; returns tensors that
            are sums over rows, to which one of weight 0 adds nothing.
        batch: tensors `[N, ...]`.
        weights: of the rows, `[N]`.
        context: of the whole batch; see `map_rows`.
        plan: how the rows are worked on.
        like: tensors or variables of the shapes and dtypes of what the function returns.
    """
    division = _Division([*batch, weights], context, plan)
    if division.is_whole:
        return list(function(*batch, weights, division.context))

    def part(index):
        *rows, own_weights, own_context = division.part(index)
        # A row that fills the last part up is there already.
        own_weights *= tf.cast(division.is_own(index), own_weights.dtype)
        return function(*rows, own_weights, own_context)

    if division.is_one_round:
        parts = zip(*map(part, range(plan.parts)), strict=True)
        return [functools.reduce(operator.add, each) for each in parts]

    def body(index, *sums):
        return index + 1, *(a + b for a, b in zip(sums, part(index), strict=True))

    return division.loop(body, [tf.zeros(x.shape, x.dtype) for x in like])


def in_turn(
    data: Rows, context: Context, rows_at_once: int
) -> Iterator[tuple[np.ndarray, Context]]:
    """Yields rows of a data set, and their context, some at a time.

    Args:
        data: `[N, ...]`.
        context: of all rows; its labels are `[N]` or None, its condition `[N, ...]` or None.
            Without a `first_row`, that is 0.
        rows_at_once: the most rows at a time.
    """
    first = context.first_row or 0
    for start in range(0, len(data), rows_at_once):
        rows = slice(start, start + rows_at_once)
        own = context.replace(
            labels=None if context.labels is None else context.labels[rows],
            condition=None if context.condition is None else context.condition[rows],
            first_row=tf.constant(first + start, tf.int64),
        )
        yield data[rows], own


class _Division:
    """A batch and its context in the parts of a plan."""

    def __init__(self, batch: Sequence[tf.Tensor], context: Context, plan: Plan):
        self._batch, self._plan = batch, plan
        self.count: Any = batch[0].shape[0]
        self.is_whole = self.count in (0, 1) or not plan.divides
        self.context = context.replace(kernels=plan.kernels)
        if self.is_whole:
            return
        if self.count is None:
            self.count = tf.shape(batch[0])[0]
        if context.first_row is None:
            first = 0 if context.seed is None else rows_before(tf.convert_to_tensor(self.count))
            self.context = self.context.replace(first_row=first)
        self.number, self._size = plan.division(self.count)
        self.is_one_round = plan.rows_at_once is None

    def part(self, index: Any) -> list[Any]:
        """Returns the rows of a part, and their context; the last part repeats the last row."""
        rows = tf.minimum(self._rows(index), self.count - 1)

        def own(value):
            return value if value is None or not value.shape.rank else tf.gather(value, rows)

        before = tf.cast(self.context.first_row, tf.int64) + tf.cast(index * self._size, tf.int64)
        context = self.context.replace(
            first_row=before,
            origins=own(_tensor(self.context.origins)),
            labels=own(_tensor(self.context.labels)),
            condition=own(_tensor(self.context.condition)),
        )
        return [*map(own, self._batch), context]

    def is_own(self, index: Any) -> tf.Tensor:
        """Returns which rows of a part are not there to fill it up, a bool for each."""
        return self._rows(index) < self.count

    def _rows(self, index):
        return index * self._size + tf.range(self._size)

    def loop(self, body: Callable[..., Any], start: list[Any]) -> list[Any]:
        """Returns what the body makes of the start, part after part, a plan's side by side."""
        return tf.while_loop(
            lambda index, *_: index < self.number,
            body,
            (tf.constant(0), *start),
            parallel_iterations=self._plan.side_by_side,
        )[1:]


def _tensor(value):
    return None if value is None else tf.convert_to_tensor(value)
