"""Graphs of a flow, traced once and kept with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.distribution import Flow


def traced(dist: Flow, key: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function(dist, ...)` as a `tf.function` of any batch size, kept by `key`.

    A batch of one has a graph of its own, which knows its size: convolutions of one image are cut
    in another way (see `conditioners.convolution`).

    Args:
        dist: the flow; holds the graphs, so that they go when it goes.
        key: name of the graph.
        function: takes the flow, then tensors, the first of which has the batch, or is its size.
    """

    def graph(*arguments: Any) -> Any:
        own = f"{key} of one" if np.shape(arguments[0])[:1] == (1,) else key
        if own not in dist.graphs:
            dist.graphs[own] = tf.function(
                lambda *tensors: function(dist, *tensors),
                reduce_retracing=True,
                autograph=False,  # nothing here needs it, and it takes longer than the tracing
            )
        return dist.graphs[own](*arguments)

    return graph
