"""The log-determinant of a map near the identity, `log det(I + J)` with `|J| < 1`.

Exactly, of the whole matrix; or by a power series, for which products with `J` are enough.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Up to so many dimensions the elimination's steps are operations of their own.
MAX_ELIMINATED = 64
# Terms after which the series ends in any case.
MAX_TERMS = 1500

#: Returns `J v` of `v`, both `[N, *event]`.
Product = Callable[[tf.Tensor], tf.Tensor]


def log_det_exactly(matrix: tf.Tensor) -> tf.Tensor:
    """Returns `log det(I + J)` to float precision.

    Of few dimensions, by Gauss' elimination, of which LiteRT has all operations. It needs no
    exchange of rows: `v . (I + J) v > 0` in every direction, so that all pivots are positive.

    Args:
        matrix: `J`, `[N, D, D]`.

    Returns:
        `[N]`.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.bijectors.log_det import log_det_exactly
        >>> round(float(log_det_exactly(tf.constant([[[0.5, 0.2], [0.0, -0.5]]]))[0]), 4)
        -0.2877
    """
    size = matrix.shape[-1]
    matrix += tf.eye(size, dtype=matrix.dtype)
    if size > MAX_ELIMINATED:
        return tf.linalg.slogdet(matrix)[1]
    pivots = []
    for _ in range(size):
        pivot, row, column = matrix[:, :1, :1], matrix[:, :1, 1:], matrix[:, 1:, :1]
        pivots.append(pivot[:, 0, 0])
        matrix = matrix[:, 1:, 1:] - column * row / pivot
    return tf.reduce_sum(tf.math.log(tf.stack(pivots, -1)), -1)


def log_det_by_series(
    product: Product,
    probe: tf.Tensor,
    lengths: tf.Tensor | None = None,
    chance: Callable[[tf.Tensor], tf.Tensor] = tf.ones_like,
) -> tf.Tensor:
    r"""Returns an estimate of `log det(I + J)` by a power series (arXiv:1811.00995, 1906.02735).

        log det(I + J) = sum_k (-1)^(k+1) / k  trace(J^k),    trace(J^k) ~ e . J^k e

    with a probe `e` of random signs. A row's series goes on until `J^k e` is nothing to float
    precision, or, where lengths are given, up to the row's own; where these are random, each term
    is divided by the chance that a series gets that far, and the estimate is unbiased.

    The gradient is that of the terms with the probe held between, `sum_k +- e . dJ J^(k-1) e`,
    which in expectation over probes is the log-determinant's. Only one product is differentiated:
    the memory of a gradient does not grow with the number of terms.

    Args:
        product: gives `J v` of `[N, *event]`, row by row.
        probe: `e`, `[N, *event]`.
        lengths: numbers of terms, `[N]`; None for no end but that of float precision.
        chance: returns the chance that a series has a k-th term, of `k` as a float.

    Returns:
        `[N]`.
    """
    dtype, axes = probe.dtype, list(range(1, probe.shape.rank))
    least = tf.reduce_sum(tf.square(probe), axes) * float(np.finfo(dtype.as_numpy_dtype).eps) ** 2

    def goes_on(k, power):
        if lengths is None:
            return tf.reduce_sum(tf.square(power), axes) > least
        return k <= tf.cast(lengths, dtype)

    def add(k, power, total, powers):
        sign = 2 * tf.math.floormod(k, 2) - 1
        weight = tf.where(goes_on(k, power), sign / chance(k), tf.zeros_like(total))
        powers += tf.reshape(weight, [-1, *[1] * len(axes)]) * power
        power = product(power)
        power.set_shape(probe.shape)
        total += weight / k * tf.reduce_sum(probe * power, axes)
        return k + 1, power, total, powers

    one = tf.ones([], dtype)
    _, _, total, powers = tf.while_loop(
        lambda k, power, total, powers: tf.reduce_any(goes_on(k, power)),
        add,
        (one, probe, tf.zeros_like(least), tf.zeros_like(probe)),
        maximum_iterations=MAX_TERMS,
    )
    first_order = tf.reduce_sum(probe * product(tf.stop_gradient(powers)), axes)
    # The second part is 0 in value.
    return tf.stop_gradient(total) + first_order - tf.stop_gradient(first_order)
