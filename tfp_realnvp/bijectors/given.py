"""Weights of a bijector that differ with what its rows are given."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector
from tfp_realnvp.conditioners.base import given_to_rows
from tfp_realnvp.core.context import Context


def weights_of_rows(
    bijector: FlowBijector, tables: Sequence[Any], of_vector: Any, context: Context
) -> list[Any]:
    """Returns weights as each row has them: those of its class, moved by the vector it is given.

    Args:
        bijector: whose weights they are.
        tables: weights `[num_classes or 1, K]`.
        of_vector: what the vector of a condition is multiplied with, `[vector_size, sum of K]`;
            None without one.
        context: the per-call context.

    Returns:
        Weights `[N or 1, K]`.

    Raises:
        ValueError: labels or the vector are missing.
    """
    scope = bijector._scope
    num_classes, vector_size = scope.num_classes, scope.vector_size
    given = functools.partial(given_to_rows, context, dtype=scope.dtype, name=bijector.name)
    weights = [tf.convert_to_tensor(table) for table in tables]
    if num_classes is not None:
        classes = given(num_classes, 0)
        weights = [classes @ table for table in weights]
    if vector_size:
        sizes = [weight.shape[-1] for weight in weights]
        moves = tf.split(given(None, vector_size) @ of_vector, sizes, -1)
        weights = [weight + move for weight, move in zip(weights, moves, strict=True)]
    return weights
