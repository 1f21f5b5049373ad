"""Dequantization: integers to reals by noise, the stochastic outermost map of an image flow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core.context import Context
from tfp_realnvp.core.noise import row_noise, shared_noise


class Dequantization(FlowBijector):
    r"""Uniform dequantization (arXiv:1511.01844).

    * inverse (data to latent): `x = y + u` with `u` uniform on `[0, 1)`; a density `p` of `x`
      bounds the probability of the integers, `log P(y) >= E_u[log p(y + u)]`. The "log-det" is
      `-log q(u | y) = 0`;
    * forward: `y = clip(floor(x), 0, levels - 1)`, a surjection; its "log-det" is 0.

    What noise is drawn is in the context: see `Context.seed` and `Context.noise`.

    Args:
        levels: number of integer levels; data are `0 .. levels - 1`.
        name: name of the bijector.

    Raises:
        ValueError: fewer than 2 levels.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Dequantization
        >>> pixels = np.full([1, 2, 2, 1], 7, "uint8")
        >>> bool((np.floor(Dequantization().inverse(pixels)) == 7).all())
        True
    """

    def __init__(self, *, levels: int = 256, name: str | None = None):
        if not (isinstance(levels, int | np.integer) and levels >= 2):
            raise ValueError(f"Dequantization needs at least 2 integer levels, got {levels!r}.")
        super().__init__(data_ndims=3, name=name)
        self.levels = int(levels)

    @property
    def is_surjective(self) -> bool:
        """True: values are rounded down to pixels."""
        return True

    def _inverse_and_log_det(self, y, context):
        base = self.base_noise(y, context)
        noise, log_q = self.noise_and_log_q(y, base, context)
        return y + noise, -log_q

    def _forward_and_log_det(self, x, context):
        y = tf.clip_by_value(tf.floor(x), 0, self.levels - 1)
        return y, tf.zeros(tf.shape(x)[:1], x.dtype)

    def noise_and_log_q(
        self, y: tf.Tensor, base: tf.Tensor, context: Context
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Turns uniform base noise into dequantization noise.

        Args:
            y: integer-valued images `[N, H, W, C]` in the flow's dtype.
            base: uniform noise in `[0, 1)` of the same shape.
            context: the per-call context.

        Returns:
            The noise u in `[0, 1]`, and log q(u | y) in nats `[N]`.
        """
        return base, tf.zeros(tf.shape(y)[:1], y.dtype)

    def base_noise(self, y: tf.Tensor, context: Context) -> tf.Tensor:
        """Returns the uniform noise that the context asks for, of the shape of `y`."""
        if context.noise == "centre":
            return tf.fill(tf.shape(y), tf.constant(0.5, y.dtype))
        if context.noise == "per_example":
            return _rotated_by_content(shared_noise(y, context, self._scope.path), y)
        return row_noise(y, context, self._scope.path)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"levels": self.levels}


def _rotated_by_content(field: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Rotates one uniform field, for all rows, by a phase that each row's content decides.

    A rotation of a uniform number by anything independent of it is uniform, and the phase is
    integer arithmetic, so that no order of summation changes it.
    """
    event: Shape = tuple(y.shape[1:])
    weights = np.random.default_rng(0).integers(1, 2**31 - 1, math.prod(event), np.int32)
    digest = tf.reduce_sum(tf.cast(tf.reshape(y, (-1, weights.size)), tf.int32) * weights, -1)
    digest = tf.bitwise.bitwise_xor(digest, tf.bitwise.right_shift(digest, 15))
    phase = tf.cast(tf.math.floormod(digest, 2**16), y.dtype) / 2**16
    rotated = field + tf.reshape(phase, (-1, *[1] * len(event)))
    return rotated - tf.floor(rotated)
