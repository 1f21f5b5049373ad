"""Running statistics set to those of a whole data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.container import Container, Result, Step, walked
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context
from tfp_realnvp.core.data_checks import check_data, given_to_examples
from tfp_realnvp.core.moments import MomentsOfData
from tfp_realnvp.execution.rows import in_turn
from tfp_realnvp.flow import Flow


def reestimate_statistics(
    dist: Flow,
    data: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    rows_at_once: int = 256,
) -> None:
    """Sets all running statistics of a flow to those of a data set, exactly.

    From data to latent, and within each conditioner from its input to its output, every batch
    normalization gets the mean and variance of what reaches it in evaluation mode, those before
    it having theirs already. The data are kept member by member, so that only a member's own
    statistics cost further passes, one each. Dequantization noise is each image's own.

    Args:
        dist: a flow; one without batch normalization stays as it is.
        data: `[N, *event]` integer images or vectors.
        labels: `[N]` for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        rows_at_once: examples evaluated at once; the result does not depend on it.

    Raises:
        ValueError: bad data or labels, no data, or `rows_at_once` below 1.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.Flow([nvp.bijectors.BatchNorm(ndims=1)], (2,))
        >>> nvp.reestimate_statistics(dist, np.array([[0.0, 5.0], [2.0, 7.0]]))
        >>> nvp.encode(dist, [[1.0, 6.0]]).tolist()
        [[0.0, 0.0]]
    """
    arguments.whole("reestimate_statistics", "rows_at_once", rows_at_once)
    data = np.asarray(data)
    check_data(data, tuple(dist.event_shape), dist.levels, name=dist.name, dtype=dist.dtype)
    given = given_to_examples(dist, len(data), labels, condition)
    if not len(data):
        raise ValueError("Statistics are those of at least one example, got none.")
    if not dist.bijector.running_moments:
        return
    context = Context(noise="per_example", **given)
    _settle(
        [
            Step(
                dist.bijector,
                tf.cast(rows, dist.dtype),
                dist.bijector.within(own, tf.shape(rows)[:1]),
            )
            for rows, own in in_turn(data, context, rows_at_once)
        ]
    )


def _settle(steps: list[Step]) -> list[Result]:
    """Sets the statistics of the bijector that all parts have come to; returns their results."""
    bijector = steps[0].member
    for running in bijector.running_moments:
        if any(running in member.running_moments for member in bijector.members):
            continue
        running.recorder = MomentsOfData()
        try:
            for step in steps:
                step.result()
            running.set(running.recorder)
        finally:
            running.recorder = None
    if not isinstance(bijector, Container):
        return [step.result() for step in steps]
    walks = [bijector._walk(step.value, step.context, forward=step.forward) for step in steps]
    return walked(walks, _settle)
