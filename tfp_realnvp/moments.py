"""Running means and variances of activations, for batch normalization of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


class RunningMoments:
    """The mean and variance of each channel, followed over training steps.

    With `m` the momentum, a training step sets `running = m * running + (1 - m) * batch`. Under a
    distribution strategy the moments of a batch are those of all replicas' shares together.

    Args:
        mean: non-trainable Keras variable `[C]`.
        variance: non-trainable Keras variable `[C]`.
        momentum: share of the old value that a step keeps, in `[0, 1)`.
    """

    def __init__(self, mean: Any, variance: Any, *, momentum: float):
        self.mean, self.variance, self.momentum = mean, variance, momentum
        #: Where `observe` sends what passes, while statistics are re-estimated.
        self.recorder: MomentsOfData | None = None

    def of_running(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the running moments, in a dtype of at least 32 bits that suits `x`."""
        if self.recorder is not None:
            self.recorder.add(x.numpy())
        dtype = _wide(x)
        return tf.cast(self.mean.value, dtype), tf.cast(self.variance.value, dtype)

    def of_batch(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the moments of `[N, ..., C]` over all axes but the last, and all replicas."""
        x = tf.cast(x, _wide(x))
        axes = list(range(x.shape.rank - 1))
        count = sum_over_replicas(tf.cast(tf.size(x) // x.shape[-1], x.dtype))
        mean = sum_over_replicas(tf.reduce_sum(x, axes)) / count
        return mean, sum_over_replicas(tf.reduce_sum(tf.square(x - mean), axes)) / count

    def update(self, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Takes a training step.

        Args:
            mean: mean of the batch.
            variance: variance of the batch.

        Returns:
            The running moments after the step; gradients flow into the batch's share of them.
        """
        keep = self.momentum
        mean = keep * tf.cast(self.mean.value, mean.dtype) + (1 - keep) * mean
        variance = keep * tf.cast(self.variance.value, variance.dtype) + (1 - keep) * variance
        self.mean.assign(tf.stop_gradient(mean))
        self.variance.assign(tf.stop_gradient(variance))
        return mean, variance

    def set(self, moments: MomentsOfData) -> None:
        """Puts the moments of a data set in place of the running ones."""
        self.mean.assign(moments.mean)
        self.variance.assign(moments.variance)


class MomentsOfData:
    """Mean and variance of a data set that comes in parts, in float64.

    Example:
        >>> import numpy as np
        >>> moments = MomentsOfData()
        >>> moments.add(np.array([[1.0], [2.0]]))
        >>> moments.add(np.array([[6.0]]))
        >>> moments.mean.tolist(), moments.variance.round(3).tolist()
        ([3.0], [4.667])
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(())
        self._squares = np.zeros(())

    def add(self, x: np.ndarray) -> None:
        """Takes a part `[N, ..., C]` in."""
        flat = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
        mean, total = flat.mean(0), self.count + len(flat)
        step = mean - self.mean
        self._squares = (
            self._squares
            + np.square(flat - mean).sum(0)
            + step**2 * (self.count * len(flat) / total)
        )
        self.mean = self.mean + step * (len(flat) / total)
        self.count = total

    @property
    def variance(self) -> np.ndarray:
        """The variance of all that came, divided by its number."""
        return self._squares / max(self.count, 1)


def _wide(x: tf.Tensor) -> tf.DType:
    return x.dtype if x.dtype.size >= 4 else tf.float32


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a value over all replicas of a distribution strategy.

    Their shares of a batch may differ, and one may have no rows at all.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)
