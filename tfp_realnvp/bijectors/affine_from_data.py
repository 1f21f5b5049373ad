"""What `ActNorm` and `Standardize` share: an affine map that the first data set."""

from __future__ import annotations

import abc
import math

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.core.context import Context, Scope
from tfp_realnvp.core.moments import mean_and_log_std


class AffineFromData(FlowBijector):
    """A shift and a scale per channel (per coordinate of a vector), set from the first data.

    Or per element of an event: of each pixel and channel.

    Until `initialize` has seen data the map is the identity. `FlowModel.fit` calls it, and
    `Flow.initialize` does so for training by hand. What it has set is saved with the flow.

    A channel that never varies, up to the rounding of the flow's dtype at its mean, has no scale:
    it keeps 1.
    """

    #: Name of the weight that shifts.
    shift_name: str
    #: Whether shift and scale are trained on from where data set them.
    trained: bool
    #: Whether each element of the event has its own.
    elementwise = False

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        shape, trained = event_shape if self.elementwise else event_shape[-1:], self.trained
        self.shift = self.weight(self.shift_name, shape, trainable=trained)
        self.log_scale = self.weight("log_scale", shape, trainable=trained)
        self.initialized = self.weight("initialized", (), dtype="int32", trainable=False)

    @abc.abstractmethod
    def _shift_and_log_scale_of(
        self, mean: np.ndarray, log_std: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what brings data of this mean and standard deviation to 0 and 1."""

    @property
    def needs_data(self) -> bool:
        """Whether `initialize` has not run yet."""
        if self._built_for is None:
            return True
        with tf.init_scope():
            return not bool(self.initialized.numpy())

    def _initialize(self, y: tf.Tensor, context: Context) -> None:
        values = y.numpy()
        if not len(values):
            raise ValueError(f"{self._scope.path} starts from at least one example, got none.")
        bad = np.count_nonzero(~np.isfinite(values))
        if bad:
            raise ValueError(
                f"{self._scope.path} starts from data that are finite in {self._scope.dtype}, got "
                f"{bad} NaN or infinite values."
            )
        shape = tuple(self.shift.shape)
        moments = mean_and_log_std(values.reshape(-1, math.prod(shape)))
        shift, log_scale = self._shift_and_log_scale_of(*moments)
        self.shift.assign(shift.reshape(shape))
        self.log_scale.assign(log_scale.reshape(shape))
        self.initialized.assign(1)
