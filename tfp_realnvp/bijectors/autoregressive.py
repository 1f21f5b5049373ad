"""Autoregressive flow: each coordinate is transformed as those before it decide."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.transformers import Affine, Transformer
from tfp_realnvp.conditioners.made import MADE
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope


class Autoregressive(FlowBijector):
    r"""Masked autoregressive flow (arXiv:1705.07057).

    A masked network `g` gives, for coordinate `i`, the parameters of an element-wise invertible
    map `t` from the coordinates before it, on the data side:

    * inverse (data to latent): `x_i = t^{-1}(y_i; g_i(y_1 .. y_{i-1}))`, all in one run of `g`;
    * forward: `y_i = t(x_i; g_i(y_1 .. y_{i-1}))`, one coordinate after another, in D runs;
    * log-det: the sum of `log |t'|`, as the Jacobian is triangular.

    So the density of data is fast and sampling slow. `Invert` makes it the other way round, an
    inverse autoregressive flow (arXiv:1606.04934).

    Args:
        conditioner: the masked network.
        transformer: the element-wise map; None for `Affine()` with learned bounds.
        name: name of the bijector.

    Raises:
        TypeError: a network that is not masked, or no transformer.
        ValueError: at building, fewer than 2 coordinates, or a condition of each place.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Autoregressive
        >>> from tfp_realnvp.conditioners import MADE
        >>> Autoregressive(MADE(widths=(16,))).forward(np.ones([3, 4], "float32")).shape
        TensorShape([3, 4])
    """

    def __init__(
        self,
        conditioner: MADE,
        *,
        transformer: Transformer | None = None,
        name: str | None = None,
    ):
        super().__init__(data_ndims=1, name=name)
        self.conditioner = arguments.instance("Autoregressive", "conditioner", conditioner, MADE)
        self.transformer = arguments.instance(
            "Autoregressive", "transformer", transformer or Affine(), Transformer
        )

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        scope.refuse_condition_of_places("an autoregressive flow")
        outputs = event_shape[0] * self.transformer.parameters_per_element
        self.conditioner.prepare(outputs=outputs, scope=scope.child("conditioner"))
        self.transformer.prepare(scope)
        for layer in (self.conditioner, self.transformer):
            if not layer.built:
                layer.build((None, *event_shape))
        self._track(self.conditioner)
        self._track(self.transformer)

    def _inverse_and_log_det(self, y, context):
        x, log_det = self.transformer.inverse(y, self.conditioner.parameters(y, context))
        return x, tf.reduce_sum(log_det, -1)

    def _forward_and_log_det(self, x, context):
        size = x.shape[-1]

        def settle(i, y, log_det):
            # Coordinates after the i-th stay 0 until it is their turn; the last run has seen
            # all that each depends on, so that its log-det is whole.
            values, log_det = self.transformer.forward(x, self.conditioner.parameters(y, context))
            return i + 1, tf.where(tf.equal(tf.range(size), i), values, y), log_det

        start = (tf.constant(0), tf.zeros_like(x), tf.zeros_like(x))
        _, y, log_det = tf.while_loop(
            lambda i, y, log_det: i < size, settle, start, maximum_iterations=size
        )
        return y, tf.reduce_sum(log_det, -1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"conditioner": self.conditioner, "transformer": self.transformer}
