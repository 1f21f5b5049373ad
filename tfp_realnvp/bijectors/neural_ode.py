"""Neural ODE: a continuous flow along a learned velocity field."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.ode_solver import integrate
from tfp_realnvp.conditioners.velocity import Velocity
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, Scope
from tfp_realnvp.core.noise import row_noise, shared_noise

# Up to this many dimensions the trace is computed exactly unless the constructor says otherwise.
EXACT_TRACE_SIZE = 8
# The step error where a context asks for exactness, as encoding and decoding do.
EXACT_TOLERANCE = 1e-7


class NeuralODE(FlowBijector):
    r"""Continuous normalizing flow (FFJORD, arXiv:1810.01367).

    A point moves with velocity `f(x, t)`:

    * forward (latent to data): `y = x(1)` with `dx/dt = f(x, t)` and `x(0) = x`;
    * forward log-det: `+ integral_0^1 trace(df/dx) dt`, so that a density *falls* where the field
      spreads: `d log p / dt = -trace(df/dx)`;
    * inverse: the same path backwards, and the log-det with the opposite sign.

    The trace is exact, `sum_i e_i . J e_i`, or Hutchinson's estimate `e . J e` with random signs
    `e` that depend on the context's seed and stay fixed during a call. In the deterministic noise
    modes of a context all rows share one fixed `e`.

    The solver is adaptive, row by row; see `ode_solver.integrate`. `tfp.math.ode` was not taken:
    it chooses one step for a whole batch, so that a row's density would depend on the rows beside
    it. Values agree with the exact flow to about `tolerance`, and so does a round trip. Training
    under XLA stores `max_steps` steps. `tf.vectorized_map` of a gradient is refused: rows do not
    depend on each other, so that the gradient of the sum over a batch has each row's score.

    Args:
        velocity: the network.
        exact_trace: whether the trace is exact; None for where D is at most 8.
        tolerance: error of a solver's step.
        max_steps: steps after which the solver gives NaN.
        name: name of the bijector.

    Raises:
        TypeError: another network, or a trace that is neither exact nor not.
        ValueError: the tolerance or `max_steps` is not positive.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import NeuralODE
        >>> from tfp_realnvp.conditioners import Velocity
        >>> ode = NeuralODE(Velocity(widths=(8,)))
        >>> ode.forward(np.ones([3, 2], "float32")).shape
        TensorShape([3, 2])
    """

    #: A second run may draw another `e`, and would keep as many steps of the solver as the first.
    recomputable = False

    def __init__(
        self,
        velocity: Velocity,
        *,
        exact_trace: bool | None = None,
        tolerance: float = 1e-4,
        max_steps: int = 500,
        name: str | None = None,
    ):
        super().__init__(data_ndims=1, name=name)
        self.velocity = arguments.instance("NeuralODE", "velocity", velocity, Velocity)
        if exact_trace is not None:
            arguments.instance("NeuralODE", "exact_trace", exact_trace, bool)
        self.exact_trace = exact_trace
        self.tolerance = arguments.real("NeuralODE", "tolerance", tolerance, above=0)
        self.max_steps = arguments.whole("NeuralODE", "max_steps", max_steps)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        scope.refuse_condition_of_places("a neural ODE")
        size = event_shape[0]
        self.velocity.prepare(outputs=size, scope=scope.child("velocity"))
        if not self.velocity.built:
            self.velocity.build((None, size + 1))
        self._track(self.velocity)

    def _forward_and_log_det(self, x, context):
        return self._flow(x, context, backwards=False)

    def _inverse_and_log_det(self, y, context):
        return self._flow(y, context, backwards=True)

    def _flow(self, value, context: Context, *, backwards: bool):
        size = value.shape[-1]
        exact = size <= EXACT_TRACE_SIZE if self.exact_trace is None else self.exact_trace
        if exact:
            directions = tf.eye(size, dtype=value.dtype)[:, None, :]
        else:
            directions = self._random_signs(value, context)[None]

        def field(t, state):
            time = 1 - t if backwards else t
            velocity, along = self.velocity.with_tangents(
                state[:, :size], time, directions, context
            )
            trace = tf.reduce_sum(along * directions, [0, 2])
            slope = tf.concat([velocity, trace[:, None]], -1)
            return -slope if backwards else slope

        state = integrate(
            field,
            tf.concat([value, tf.zeros_like(value[:, :1])], -1),
            tolerance=min(self.tolerance, EXACT_TOLERANCE) if context.exact else self.tolerance,
            max_steps=self.max_steps,
        )
        return state[:, :size], state[:, size]

    def _random_signs(self, value, context: Context):
        draw = row_noise if context.noise == "fresh" else shared_noise
        noise = draw(value, context, self._scope.path)
        return tf.where(noise < 0.5, -tf.ones_like(noise), tf.ones_like(noise))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "velocity": self.velocity,
            "exact_trace": self.exact_trace,
            "tolerance": self.tolerance,
            "max_steps": self.max_steps,
        }
