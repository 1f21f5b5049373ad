"""Invertible 1x1 convolution: a learned mixing of the channels, in LU form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope, stable_hash

# Below twice as many channels the entries of the triangular factors are trained as they are.
UNSCALED_CHANNELS = 16


class InvertibleConv(FlowBijector):
    r"""A linear map of the last axis (arXiv:1807.03039, section 3.2).

    With a fixed permutation `Q`, a unit lower triangular `L`, a strictly upper triangular `U`, a
    vector `s` and fixed signs `g`, at every pixel (or for the whole vector):

    * `W = Q L (U + diag(g * exp(s)))`;
    * inverse (data to latent): `x = W y`;
    * forward: `y = W^{-1} x`, by two triangular solves;
    * inverse log-det: `P sum s`, `P` the number of pixels.

    `W` starts as a random rotation drawn from (seed, path); `L`, `U` and `s` are trained. The
    signs of the diagonal are kept: without them `W` would not be what was factorized.

    A step of Adam moves each entry of `L` and of `U` by the learning rate, and an element of `W y`
    by up to `C` times that. So what is trained is `c` times the entries off the diagonal, with
    `c = max(1, 2^floor(log2(C / 16)))`: a step changes `W y` by no more for 2,000 channels than
    for 31. Files hold the entries themselves.

    Args:
        ndims: rank of the event, 3 for images and 1 for vectors.
        name: name of the bijector.

    Raises:
        ValueError: at building, fewer than 2 channels.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import InvertibleConv
        >>> mix = InvertibleConv(ndims=1)
        >>> x, log_det = mix.inverse_and_log_det(np.array([[3.0, 4.0]]))
        >>> round(float(np.linalg.norm(x)), 4), round(float(abs(log_det[0])), 4)
        (5.0, 0.0)
    """

    def __init__(self, *, ndims: int = 3, name: str | None = None):
        super().__init__(data_ndims=arguments.whole("InvertibleConv", "ndims", ndims), name=name)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        size = event_shape[-1]
        if size < 2:
            raise ValueError(
                f"An invertible convolution mixes at least 2 channels, got shape {event_shape}."
            )
        # A power of two, so that no digit changes on the way to a file and back.
        self._step_scale = max(1.0, 2.0 ** math.floor(math.log2(size / UNSCALED_CHANNELS)))
        entries, fixed = (size * (size - 1) // 2,), {"trainable": False}
        self.lower = self.weight("lower", entries, unit=self._step_scale)
        self.upper = self.weight("upper", entries, unit=self._step_scale)
        self.log_diagonal = self.weight("log_diagonal", (size,))
        self.signs = self.weight("signs", (size,), **fixed)
        self.rows = self.weight("rows", (size,), dtype="int32", **fixed)
        self._below = np.stack(np.tril_indices(size, -1), -1)
        self._above = np.stack(np.triu_indices(size, 1), -1)
        self._assign(random_rotation(size, scope))

    def _assign(self, matrix: np.ndarray) -> None:
        """Sets the factors to those of a matrix `[C, C]`."""
        packed, order = (np.asarray(part) for part in tf.linalg.lu(tf.constant(matrix)))
        self.lower.assign(self._step_scale * packed[tuple(self._below.T)])
        self.upper.assign(self._step_scale * packed[tuple(self._above.T)])
        self.log_diagonal.assign(np.log(np.abs(np.diag(packed))))
        self.signs.assign(np.sign(np.diag(packed)))
        self.rows.assign(np.argsort(order))

    def _triangles(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the unit lower triangular and the upper triangular factor."""
        shape = 2 * self.signs.shape.as_list()
        lower = tf.scatter_nd(self._below, self.lower / self._step_scale, shape)
        upper = tf.scatter_nd(self._above, self.upper / self._step_scale, shape)
        diagonal = self.signs * tf.exp(self.log_diagonal)
        return tf.linalg.set_diag(lower, tf.ones_like(diagonal)), tf.linalg.set_diag(
            upper, diagonal
        )

    @property
    def matrix(self) -> tf.Tensor:
        """The matrix `W` `[C, C]`."""
        lower, upper = self._triangles()
        return tf.gather(lower @ upper, self.rows)

    def _inverse_and_log_det(self, y, context):
        if y.shape.rank > 2:
            return tf.einsum("...c,dc->...d", y, self.matrix), self._log_det(y)
        # Of vectors there are rarely as many as coordinates: W itself would cost more.
        lower, upper = self._triangles()
        x = tf.linalg.matmul(tf.linalg.matmul(y, upper, transpose_b=True), lower, transpose_b=True)
        return tf.gather(x, self.rows, axis=-1), self._log_det(y)

    def _forward_and_log_det(self, x, context):
        # W^{-1} is solved for once, not for every pixel.
        lower, upper = self._triangles()
        unpermuted = tf.gather(tf.eye(x.shape[-1], dtype=x.dtype), self.rows, axis=1)
        half = tf.linalg.triangular_solve(lower, unpermuted)
        inverse = tf.linalg.triangular_solve(upper, half, lower=False)
        return tf.einsum("...c,dc->...d", x, inverse), -self._log_det(x)

    def _log_det(self, value: tf.Tensor) -> tf.Tensor:
        pixels = math.prod(value.shape[1:-1])
        log_det = pixels * tf.reduce_sum(self.log_diagonal)
        return tf.fill(tf.shape(value)[:1], log_det)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"ndims": self.inverse_min_event_ndims}


def random_rotation(size: int, scope: Scope) -> np.ndarray:
    """Returns an orthogonal `[size, size]` matrix, a function of (seed, path)."""
    rng = np.random.default_rng(stable_hash(f"{scope.seed}/{scope.path}/rotation"))
    rotation, upper = np.linalg.qr(rng.normal(size=(size, size)))
    return rotation * np.sign(np.diag(upper))
