"""Dequantization: integers to reals by noise, the stochastic outermost map of an image flow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core.context import Context


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
        path = self._scope.path
        if context.noise == "per_example":
            seed = (0, 0) if context.seed is None else context.seed
            return _per_example_noise(y, context.replace(seed=seed), path)
        return _fresh_noise(y, context, path)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"levels": self.levels}


def _uniform(shape, seed, dtype) -> tf.Tensor:
    # Eager, graph and XLA draw the same integers but make floats of other bits of them.
    unsigned, spare = (tf.uint64, 11) if dtype == tf.float64 else (tf.uint32, 8)
    bits = tf.random.stateless_uniform(shape, seed, None, None, unsigned, alg="philox")
    whole = tf.bitwise.right_shift(bits, tf.constant(spare, unsigned))
    return tf.cast(whole, dtype) / 2.0 ** (unsigned.size * 8 - spare)


def _fresh_noise(y: tf.Tensor, context: Context, path: str) -> tf.Tensor:
    seed = context.fold_in(path)
    replica = tf.distribute.get_replica_context()
    replicas = replica.num_replicas_in_sync if replica is not None else 1
    if context.seed is None or replicas == 1:
        return _uniform(tf.shape(y), seed, y.dtype)
    # Drawn for the global batch and sliced: the number of replicas changes no noise. Shares of a
    # batch may differ.
    size = tf.shape(y)[0]
    sizes = replica.all_gather(size[None], axis=0)
    start = tf.reduce_sum(sizes[: replica.replica_id_in_sync_group])
    shape = tf.concat([[tf.reduce_sum(sizes)], tf.shape(y)[1:]], 0)
    return tf.ensure_shape(
        _uniform(shape, seed, y.dtype)[start : start + size], y.shape, name="replica_noise"
    )


def _per_example_noise(y: tf.Tensor, context: Context, path: str) -> tf.Tensor:
    """One uniform field for all rows, rotated by a phase that each row's content decides.

    A rotation of a uniform number by anything independent of it is uniform, and the phase is
    integer arithmetic, so that no order of summation changes it.
    """
    event: Shape = tuple(y.shape[1:])
    weights = np.random.default_rng(0).integers(1, 2**31 - 1, math.prod(event), np.int32)
    digest = tf.reduce_sum(tf.cast(tf.reshape(y, (-1, weights.size)), tf.int32) * weights, -1)
    digest = tf.bitwise.bitwise_xor(digest, tf.bitwise.right_shift(digest, 15))
    phase = tf.cast(tf.math.floormod(digest, 2**16), y.dtype) / 2**16
    field = _uniform((1, *event), context.fold_in(path), y.dtype)
    rotated = field + tf.reshape(phase, (-1, *[1] * len(event)))
    return rotated - tf.floor(rotated)
