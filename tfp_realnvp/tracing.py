"""Graphs of a flow, traced once and kept with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_realnvp.distribution import Flow


def traced(dist: Flow, key: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function(dist, ...)` as a `tf.function` of any batch size, kept by `key`.

    Args:
        dist: the flow; holds the graphs, so that they go when it goes.
        key: name of the graph.
        function: takes the flow, then tensors.
    """
    if key not in dist.graphs:
        dist.graphs[key] = tf.function(
            lambda *arguments: function(dist, *arguments),
            reduce_retracing=True,
            autograph=False,  # nothing here needs it, and it takes longer than the tracing
        )
    return dist.graphs[key]
