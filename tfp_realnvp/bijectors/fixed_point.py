"""Fixed points of contractions, with the implicit function's derivatives."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# By then a contraction by 0.97 has come from 1 to the last digit of float64, and beyond.
MAX_ITERATIONS = 1500


def fixed_point(function: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor) -> tf.Tensor:
    r"""Solves `y = f(y)` for a contraction `f`, row by row, to float precision.

    By iteration from `start`. The steps of a contraction become shorter and shorter, until they are
    rounding alone: a row has arrived where its step is no shorter than the one before, and does not
    depend on the rows beside it.

    The derivatives are those of the implicit function, of first order, with respect to everything
    that `f` depends on: `dy = (I - df/dy)^{-1} df`, in which the linear system is a contraction
    too, and is solved in the same way. The iteration itself is not differentiated.

    Args:
        function: maps `[N, ...]` to `[N, ...]`, each row by itself.
        start: `[N, ...]`; its derivatives are not taken.

    Returns:
        The fixed points, of the shape of the start.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.bijectors.fixed_point import fixed_point
        >>> round(float(fixed_point(lambda y: tf.cos(y), tf.constant([[0.0]]))[0, 0]), 4)
        0.7391
    """
    fixed = tf.stop_gradient(_iterated(function, start))

    @tf.custom_gradient
    def solved(residual: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        """Returns `(I - df/dy)^{-1}` times a residual that is 0 in value."""

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            def pulled_back(v: tf.Tensor) -> tf.Tensor:
                with tf.GradientTape() as tape:
                    tape.watch(fixed)
                    value = function(fixed)
                return upstream + tape.gradient(value, fixed, v)

            return _iterated(pulled_back, upstream)

        return tf.identity(residual), gradient

    value = function(fixed)
    return fixed + solved(value - tf.stop_gradient(value))


def _iterated(function: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor) -> tf.Tensor:
    axes = list(range(1, start.shape.rank))

    def step(y, length, moves):
        proposal = tf.where(moves, function(y), y)
        proposal.set_shape(y.shape)
        next_length = tf.reduce_sum(tf.square(proposal - y), axes, keepdims=True)
        return proposal, next_length, moves & (next_length < length)

    length = tf.fill(
        tf.concat([tf.shape(start)[:1], [1] * len(axes)], 0),
        tf.constant(start.dtype.max, start.dtype),
    )
    return tf.while_loop(
        lambda y, length, moves: tf.reduce_any(moves),
        step,
        (start, length, tf.ones_like(length, tf.bool)),
        maximum_iterations=MAX_ITERATIONS,
    )[0]
