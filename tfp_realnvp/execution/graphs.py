"""Graphs of a flow, traced once and kept with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.execution.chunks import rows_of_chunk
from tfp_realnvp.execution.shards import gains_by_xla
from tfp_realnvp.flow import Flow
from tfp_realnvp.kernels import Kernels

# Full chunks of a batch from which XLA between the convolutions is worth compiling for a second.
CHUNKS = 2


def traced(
    dist: Flow, key: str, function: Callable[..., Any], *, exact: bool = False
) -> Callable[..., Any]:
    """Returns `function(dist, ...)` as a `tf.function` of any batch size, kept by `key`.

    A batch of one has a graph of its own, which knows its size: convolutions of one image are cut
    in another way (see `kernels.convolution`). So have large ones where XLA between the
    convolutions is faster (see `sharding.gains_by_xla`).

    Args:
        dist: the flow; holds the graphs, so that they go when it goes.
        key: name of the graph.
        function: takes the flow, then tensors, the first of which has the batch, or is its size;
            and the kernels to compute with, by name.
        exact: whether it computes all in the flow's own dtype, where XLA gains nothing.
    """

    def graph(*arguments: Any) -> Any:
        rows = (*np.shape(arguments[0]), 0)[0]
        by_xla = not exact and _is_large(dist, rows) and gains_by_xla(dist)
        own = f"{key} by XLA" if by_xla else f"{key} of one" if rows == 1 else key

        def call(*tensors: Any) -> Any:
            return function(dist, *tensors, kernels=Kernels(by_xla=by_xla))

        if own not in dist.graphs:
            # Nothing here needs autograph, and it takes longer than the tracing.
            dist.graphs[own] = tf.function(call, reduce_retracing=True, autograph=False)
        return dist.graphs[own](*arguments)

    return graph


def _is_large(dist: Flow, rows: int) -> bool:
    chunk = rows_of_chunk(dist.event_shape)
    return chunk is not None and rows >= CHUNKS * chunk
