"""Residual flow: a network that is a contraction, added to its input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.fixed_point import fixed_point
from tfp_realnvp.bijectors.log_det import log_det_by_series, log_det_exactly
from tfp_realnvp.conditioners.lipschitz import Lipschitz, Push
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, Scope, stable_hash
from tfp_realnvp.core.noise import row_noise

# Up to so many dimensions the log-determinant is exact unless the constructor says otherwise: in
# training, where a series of random length is cheaper from there on, and elsewhere.
EXACT_IN_TRAINING, EXACT_SIZE = 8, 64
# Terms that every series in training has; from there on, each has the next one with this chance.
SURE_TERMS, CHANCE = 5, 0.5


class Residual(FlowBijector):
    r"""Residual flow (arXiv:1811.00995, arXiv:1906.02735).

    With a network `g` that lengthens no distance (see `conditioners.Lipschitz`), and
    `0 < L < 1`:

    * inverse (data to latent): `x = y + L g(y)`, log-det `log det(I + L dg/dy)`;
    * forward: the fixed point of `y = x - L g(y)`, to float precision: each step brings it closer
      by `L` at least. Gradients are those of the implicit function.

    By construction the map is invertible, and stretches no distance by more than `1 + L`, nor
    shrinks one below `1 - L` times it.

    The log-det is exact, by the determinant of the Jacobian, which costs a run of the network for
    each dimension; or it is a power series, of which each term costs a run. In training the series
    has a random length and a random probe for each row, functions of (seed, path, row), and is
    unbiased, as its gradient is. Elsewhere it goes on to float precision, with one fixed probe for
    all rows: it is deterministic, and off by what one probe says of a trace.

    The forward direction computes in the dtype of the network's variables, whatever its dtype
    policy: in bfloat16 the fixed point would be no more than that exact.

    Args:
        network: the network.
        lipschitz: L, the Lipschitz constant of what is added.
        exact_log_det: whether the log-det is exact; None for where D is at most 8 in training, and
            at most 64 elsewhere.
        name: name of the bijector.

    Raises:
        TypeError: another network, or a log-det that is neither exact nor not.
        ValueError: the constant is not between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Residual
        >>> from tfp_realnvp.conditioners import LipschitzMLP
        >>> residual = Residual(LipschitzMLP(widths=(8,)))
        >>> residual.forward(np.ones([3, 2], "float32")).shape
        TensorShape([3, 2])
    """

    def __init__(
        self,
        network: Lipschitz,
        *,
        lipschitz: float = 0.97,
        exact_log_det: bool | None = None,
        name: str | None = None,
    ):
        arguments.instance("Residual", "network", network, Lipschitz)
        super().__init__(data_ndims=network.event_ndims, name=name)
        self.network = network
        self.lipschitz = arguments.real("Residual", "lipschitz", lipschitz, above=0, below=1)
        if exact_log_det is not None:
            arguments.instance("Residual", "exact_log_det", exact_log_det, bool)
        self.exact_log_det = exact_log_det

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self.network.prepare(outputs=event_shape[-1], scope=scope.child("network"))
        if not self.network.built:
            self.network.build((None, *event_shape))
        self._track(self.network)

    def _inverse_and_log_det(self, y, context):
        step, push = self._added(context)(y)
        return y + step, self._log_det(push, y, context)

    def _forward_and_log_det(self, x, context):
        context = context.replace(exact=True)
        added = self._added(context)
        y = fixed_point(lambda y: x - added(y)[0], x)
        return y, -self._log_det(added(y)[1], y, context)

    def _added(self, context: Context):
        """Returns `L g` as a function that gives its derivative with the value."""
        network = self.network.linearized(context)

        def added(y: tf.Tensor) -> tuple[tf.Tensor, Push]:
            value, push = network(y)
            return self.lipschitz * value, lambda v: self.lipschitz * push(v)

        return added

    def _log_det(self, push: Push, y: tf.Tensor, context: Context) -> tf.Tensor:
        event = tuple(y.shape[1:])
        size = math.prod(event)
        most = EXACT_IN_TRAINING if context.training else EXACT_SIZE
        if size <= most if self.exact_log_det is None else self.exact_log_det:
            basis = tf.reshape(tf.eye(size, dtype=y.dtype), [size, 1, *event])
            columns = tf.reshape(push(basis), [size, -1, size])
            return log_det_exactly(tf.transpose(columns, [1, 2, 0]))

        def product(v: tf.Tensor) -> tf.Tensor:
            return push(v[None])[0]

        path = self._scope.path
        if context.training and context.noise == "fresh":
            signs = tf.sign(row_noise(y, context, f"{path}/probe") - 0.5)
            uniform = 1 - row_noise(y[(slice(None), *[0] * len(event))], context, f"{path}/length")
            lengths = SURE_TERMS + tf.floor(tf.math.log(uniform) / math.log(CHANCE))
            return log_det_by_series(
                product, signs, lengths, lambda k: CHANCE ** tf.maximum(k - SURE_TERMS, 0)
            )
        rng = np.random.default_rng(stable_hash(path))
        fixed = tf.constant(rng.choice([-1.0, 1.0], event), y.dtype)
        return log_det_by_series(product, fixed + tf.zeros_like(y))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "network": self.network,
            "lipschitz": self.lipschitz,
            "exact_log_det": self.exact_log_det,
        }
