"""Roots of increasing functions, element by element, with the implicit function's derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Newton's steps fall back to halving the bracket, which from float64's widest takes no more.
MAX_ITERATIONS = 200
# Rounding: steps of at most so many units in the last place of the bracket, between slopes that
# differ by a smaller share than this.
ROUNDING, STRAIGHT = 1024, 0.1

ValueAndSlope = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def increasing_root(
    function: ValueAndSlope,
    target: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    *parameters: tf.Tensor,
) -> tf.Tensor:
    r"""Solves `f(x; p) = target` for `f` that increases with `x`, to float precision.

    Newton's method inside a bracket: a step that would leave the bracket, or that is not half as
    long as the one before, is replaced by a halving. Each element stops by itself, so that a row
    does not depend on the rows beside it: when a step no longer changes it, or when short steps
    stay as long as they are although the function is straight there, for then they are rounding.

    The derivatives are those of the implicit function, `dx = (dtarget - df) / f'(x)`, of any order,
    with respect to the target and the parameters; the solver itself is not differentiated.

    Args:
        function: of `x` and the parameters; gives `f(x)` and `f'(x)`, both of the shape of `x`.
        target: any shape.
        low: a lower bound of each root, of the shape of the target.
        high: an upper bound of each root.
        *parameters: what `f` depends on beside `x`.

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

    @tf.custom_gradient
    def differentiable(x, target, *parameters):
        def gradient(upstream):
            # Differentiable in its turn, for derivatives of higher order.
            root = differentiable(x, target, *parameters)
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                value, slope = function(root, *parameters)
            step = upstream / slope
            return None, step, *tape.gradient(value, parameters, -step, "zero")

        return tf.identity(x), gradient

    x = _solution(function, *map(tf.stop_gradient, (target, low, high, *parameters)))
    return differentiable(x, target, *parameters)


# Traced once for all calls with a function and shapes: a flow has many couplings alike.
@tf.function(autograph=False)
def _solution(function, target, low, high, *parameters):
    precision = np.finfo(target.dtype.as_numpy_dtype).eps

    def improve(low, high, x, last_step, last_slope, done):
        value, slope = function(x, *parameters)
        residual = value - target
        low, high = tf.where(residual < 0, x, low), tf.where(residual > 0, x, high)
        newton = tf.clip_by_value(x - residual / slope, low, high)
        step = tf.abs(newton - x)
        halves = step < last_step / 2
        is_straight = tf.abs(slope - last_slope) < STRAIGHT * slope
        is_short = step < ROUNDING * precision * tf.maximum(tf.abs(low), tf.abs(high))
        rounds = is_straight & is_short & ~halves
        proposal = tf.where(halves | rounds, newton, low + (high - low) / 2)
        proposal = tf.where(done | tf.equal(residual, 0), x, proposal)
        done |= rounds | (tf.abs(proposal - x) <= precision * tf.abs(proposal))
        return low, high, proposal, tf.where(halves, step, high - low), slope, done

    zero = tf.zeros_like(target)
    start = (low, high, low + (high - low) / 2, high - low, zero, tf.cast(zero, tf.bool))
    return tf.while_loop(
        lambda *state: ~tf.reduce_all(state[-1]), improve, start, maximum_iterations=MAX_ITERATIONS
    )[2]
