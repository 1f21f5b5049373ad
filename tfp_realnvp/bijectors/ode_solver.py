"""An adaptive Runge-Kutta solver in which every row of the batch has its own steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Dormand and Prince's pair of orders 5 and 4. The last row is the solution of order 5, and its
# slope the first one of the next step.
NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

FIRST_STEP = 0.2
SAFETY, SHRINK_MOST, GROW_MOST = 0.9, 0.2, 5.0

Field = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def integrate(
    field: Field, start: tf.Tensor, *, tolerance: float, max_steps: int = 500
) -> tf.Tensor:
    """Solves `dy/dt = field(t, y)` from t = 0 to t = 1.

    Each row chooses its steps by its own error, so that its result does not depend on the rows
    beside it. The loop runs in graphs and under XLA; its gradients are those of the steps that
    were taken, exactly, with their lengths held fixed. `tf.vectorized_map` takes its values but not
    its gradients: TensorFlow cannot differentiate a loop whose length differs from row to row.

    Args:
        field: gives `[N, K]` from times `[N]` and states `[N, K]`.
        start: states at 0, `[N, K]`.
        tolerance: error of a step, relative where the state exceeds 1 and absolute below.
        max_steps: steps, taken or refused, after which a row is given up.

    Returns:
        States at 1, `[N, K]`; NaN in rows that were given up.

    Raises:
        NotImplementedError: a gradient inside of `tf.vectorized_map`.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.bijectors.ode_solver import integrate
        >>> y = integrate(lambda t, y: y, tf.constant([[1.0]]), tolerance=1e-6)
        >>> round(float(y[0, 0]), 4)
        2.7183
    """
    dtype = start.dtype
    # Below this, rounding is taken for error and steps shrink for ever.
    tolerance = max(tolerance, 20 * float(np.finfo(dtype.as_numpy_dtype).eps))

    def step(t, length, y, slope):
        running = t < 1
        slopes = [slope]
        for node, weights in zip(NODES[1:], STAGES[1:], strict=True):
            ahead = tf.add_n([w * k for w, k in zip(weights, slopes, strict=True) if w])
            proposal = y + length[:, None] * ahead
            slopes.append(field(t + node * length, proposal))
        error = length[:, None] * tf.add_n([w * k for w, k in zip(ERROR, slopes, strict=True)])
        scale = tf.maximum(tf.maximum(tf.abs(y), tf.abs(proposal)), 1.0)
        size = tf.stop_gradient(tf.reduce_max(tf.abs(error) / scale, -1)) / tolerance
        taken = running & (size <= 1)
        factor = SAFETY * tf.maximum(size, 1e-10) ** -0.2
        next_t = tf.where(taken, tf.where(length < 1 - t, t + length, tf.ones_like(t)), t)
        # A row that is done keeps a length, which it no longer uses.
        next_length = tf.clip_by_value(factor, SHRINK_MOST, GROW_MOST) * length
        next_length = tf.minimum(tf.where(running, next_length, length), 1 - next_t)
        y = tf.where(taken[:, None], proposal, y)
        slope = tf.where(taken[:, None], slopes[-1], slope)
        return next_t, next_length, y, slope

    t = tf.zeros_like(start[:, 0])
    first = (t, tf.fill(tf.shape(t), tf.constant(FIRST_STEP, dtype)), start, field(t, start))
    t, _, y, _ = tf.while_loop(
        lambda t, length, y, slope: tf.reduce_any(t < 1), step, first, maximum_iterations=max_steps
    )
    # NaN arises only where a row was given up: tools that look for it see none elsewhere.
    arrived = tf.cast(t >= 1, dtype)
    return _differentiable(tf.where((t < 1)[:, None], (arrived / arrived)[:, None], y))


@tf.custom_gradient
def _differentiable(y: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Returns its argument, whose gradient is refused where TensorFlow would fail at it."""
    mapped = _in_vectorized_map()

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        if mapped:
            raise NotImplementedError(
                "tf.vectorized_map cannot differentiate a neural ODE, whose solver takes as many "
                "steps as each row needs. Its rows are apart: differentiate the sum over a batch."
            )
        return upstream

    return tf.identity(y), gradient


def _in_vectorized_map() -> bool:
    """Whether a graph is being traced for `tf.vectorized_map`, by the scope it traces under."""
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        if any(part.startswith("loop_body") for part in graph.get_name_scope().split("/")):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False
