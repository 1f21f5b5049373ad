"""Roots of increasing functions, element by element, with the implicit function's derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Newton's steps fall back to halving the bracket, which from float64's widest takes no more.
MAX_ITERATIONS = 200
# Differentiable Newton steps at the root: k of them carry derivatives up to order 2^k - 1.
NEWTON_STEPS = 2

ValueAndSlope = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def increasing_root(
    function: ValueAndSlope, target: tf.Tensor, low: tf.Tensor, high: tf.Tensor
) -> tf.Tensor:
    r"""Solves `f(x) = target` for increasing `f`, to float precision.

    Newton's method inside a bracket: a step that would leave the bracket, or that is not half as
    long as the one before, is replaced by a halving. Each element stops by itself, so that a row
    does not depend on the rows beside it.

    The derivatives are those of the implicit function, `dx = (dtarget - df) / f'(x)`, up to the
    third order, with respect to the target and to everything that `function` depends on; the
    solver itself is not differentiated.

    Args:
        function: gives `f(x)` and `f'(x)`, both of the shape of `x`.
        target: any shape.
        low: a lower bound of each root, of the shape of the target.
        high: an upper bound of each root.

    Returns:
        The roots, of the shape of the target.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.bijectors.root import increasing_root
        >>> cube = lambda x: (x**3, 3 * x**2)
        >>> root = increasing_root(cube, *tf.constant([[8.0], [0.0], [9.0]]))
        >>> round(float(root[0]), 4)
        2.0
    """
    precision = np.finfo(target.dtype.as_numpy_dtype).eps

    def improve(low, high, x, last_step, done):
        value, slope = function(x)
        residual = value - target
        low, high = tf.where(residual < 0, x, low), tf.where(residual > 0, x, high)
        newton = x - residual / slope
        converges = (newton > low) & (newton < high) & (tf.abs(newton - x) < last_step / 2)
        proposal = tf.where(converges, newton, low + (high - low) / 2)
        proposal = tf.where(done | tf.equal(residual, 0), x, proposal)
        step = tf.abs(proposal - x)
        return low, high, proposal, step, done | (step <= precision * tf.abs(proposal))

    start = (low, high, low + (high - low) / 2, high - low, tf.zeros_like(target, tf.bool))
    x = tf.while_loop(
        lambda low, high, x, last_step, done: ~tf.reduce_all(done),
        improve,
        start,
        maximum_iterations=MAX_ITERATIONS,
    )[2]
    x = tf.stop_gradient(x)
    for _ in range(NEWTON_STEPS):
        value, slope = function(x)
        residual = value - target
        # Zero in value, so that the root stays what the solver found.
        x -= (residual - tf.stop_gradient(residual)) / slope
    return x
