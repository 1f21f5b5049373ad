"""Graphs of a flow, traced once and kept with it, and what they make of any number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context
from tfp_realnvp.core.stored import Rows
from tfp_realnvp.execution.choice import plan_for_values
from tfp_realnvp.execution.rows import in_turn, map_rows
from tfp_realnvp.flow import Flow

# Rows that one call of a graph takes, in as many rounds as its plan has: between calls there is
# news of the progress, and a program can be interrupted.
ROWS_IN_A_CALL = 256


def graph(dist: Flow, key: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function as a graph, the one that the flow keeps under the key if there is one.

    Args:
        dist: the flow; holds the graphs, so that they go when it goes.
        key: of the graph.
        function: takes tensors or None.
    """
    if key not in dist.graphs:
        # Nothing here needs autograph, and it takes longer than the tracing.
        dist.graphs[key] = tf.function(function, reduce_retracing=True, autograph=False)
    return dist.graphs[key]


def evaluate(
    dist: Flow,
    what: str,
    function: Callable[[tf.Tensor, Context], tf.Tensor],
    data: Rows,
    context: Context,
    *,
    finish: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    rows_at_once: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Returns what a function makes of rows, as an array; see `execution.rows.map_rows`.

    Args:
        dist: a flow.
        what: what is computed, by which the flow keeps the graph.
        function: of some rows and their context; returns a tensor of as many rows.
        data: `[N, ...]`.
        context: of all rows; its labels are `[N]` or None, its condition `[N, ...]` or None.
        finish: of the results of all rows of a call.
        rows_at_once: bounds how many rows are worked on at a time; None for no other bound than
            the plan's.
        progress: called with a number of rows after each call of the graph.

    Raises:
        ValueError: no number of rows.
    """
    if rows_at_once is not None:
        arguments.whole(what, "rows_at_once", rows_at_once)
    if not len(data):  # what a row of zeros gives says the dtype and the shape

        def one(rows: Any) -> Any:
            return None if rows is None else np.zeros([1, *rows.shape[1:]], rows.dtype)

        own = context.replace(labels=one(context.labels), condition=one(context.condition))
        return evaluate(dist, what, function, one(data), own, finish=finish)[:0]
    plan = plan_for_values(dist, rows=len(data), rows_at_once=rows_at_once, exact=context.exact)

    def of_rows(rows, labels, condition, seed, first_row, draw):
        given = {"labels": labels, "condition": condition}
        own = context.replace(**given, seed=seed, first_row=first_row, draw=draw)
        return finish(map_rows(function, [rows], own, plan, dtype=dist.dtype))

    assert plan.rows_at_once is not None
    in_a_call = plan.rows_at_once * max(1, ROWS_IN_A_CALL // plan.rows_at_once)
    results = []
    for rows, own in in_turn(data, context, in_a_call):
        # A graph of one row knows that: convolutions of one image are computed in another way.
        key = f"{what} of {'one' if len(rows) == 1 else 'many'}, {plan}"
        draw = tf.convert_to_tensor(own.draw)  # as a number, it would be traced for
        given = own.labels, own.condition
        result = graph(dist, key, of_rows)(rows, *given, own.seed, own.first_row, draw)
        results.append(result.numpy())
        if progress is not None:
            progress(len(rows))
    return np.concatenate(results)
