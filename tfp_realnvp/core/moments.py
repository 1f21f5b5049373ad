"""Running means and variances of activations, for batch normalization of any kind."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core.replicas import sum_over_replicas

Snapshot = tuple[tf.Tensor, tf.Tensor]


class _Replays(threading.local):
    """The snapshots in use, by the moments' identity; replicas have a thread each."""

    def __init__(self) -> None:
        self.snapshots: dict[int, Snapshot] = {}


_replays = _Replays()


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
        #: Where `read` sends what passes, while statistics are re-estimated.
        self.recorder: MomentsOfData | None = None

    @contextlib.contextmanager
    def replayed(self, snapshot: Snapshot) -> Iterator[None]:
        """Has a snapshot stand for the variables, which stay as they are, in this thread."""
        _replays.snapshots[id(self)] = snapshot
        try:
            yield
        finally:
            del _replays.snapshots[id(self)]

    def snapshot(self) -> Snapshot:
        """Returns the running moments of now, in the variables' dtype."""
        if id(self) in _replays.snapshots:
            return _replays.snapshots[id(self)]
        return tf.convert_to_tensor(self.mean.value), tf.convert_to_tensor(self.variance.value)

    def read(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the running moments, in a dtype of at least 32 bits that suits `x`."""
        if self.recorder is not None:
            self.recorder.add(x.numpy())
        mean, variance = self.snapshot()
        return tf.cast(mean, _wide(x)), tf.cast(variance, _wide(x))

    def update(self, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Takes a training step.

        Args:
            mean: mean of the batch.
            variance: variance of the batch.

        Returns:
            The running moments after the step; gradients flow into the batch's share of them.
        """
        keep = self.momentum
        old_mean, old_variance = self.snapshot()
        mean = keep * tf.cast(old_mean, mean.dtype) + (1 - keep) * mean
        variance = keep * tf.cast(old_variance, variance.dtype) + (1 - keep) * variance
        if id(self) not in _replays.snapshots:
            self.mean.assign(tf.stop_gradient(mean))
            self.variance.assign(tf.stop_gradient(variance))
        return mean, variance

    def set(self, moments: MomentsOfData) -> None:
        """Puts the moments of a data set in place of the running ones."""
        self.mean.assign(moments.mean)
        self.variance.assign(moments.variance)


def batch_moments(x: tf.Tensor, *, is_empty: Any) -> Snapshot:
    """Returns mean and variance of `[N, ..., C]` over all axes but the last, and all replicas.

    Args:
        x: activations.
        is_empty: whether they are of no data; see `Context.is_empty`.
    """
    x = tf.cast(x, _wide(x))
    axes = list(range(x.shape.rank - 1))
    counts = 1 - tf.cast(is_empty, x.dtype)
    size = sum_over_replicas(counts * tf.cast(tf.size(x) // x.shape[-1], x.dtype))

    def mean_of(values):
        total = sum_over_replicas(counts * tf.reduce_sum(values, axes))
        return tf.math.divide_no_nan(total, size)

    mean = mean_of(x)
    return mean, mean_of(tf.square(x - mean))


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
        if not len(flat):
            return
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


def mean_and_log_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the logarithm of the standard deviation of each channel, in float64.

    A channel counts as constant, with a standard deviation of 1, where its own is below the
    rounding of its mean in the dtype of the values, or below the least normal number.

    Args:
        values: finite numbers `[N, ..., C]`, N at least 1.

    Returns:
        Means and logarithms, each `[C]`.

    Raises:
        ValueError: a spread whose reciprocal is below the least normal number.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.core.moments import mean_and_log_std
        >>> mean, log_std = mean_and_log_std(np.array([[1e-30, 7.0], [3e-30, 7.0]], "float32"))
        >>> mean.tolist()[1], np.exp(log_std).round(33).tolist()
        (7.0, [1e-30, 1.0])
    """
    limits = np.finfo(values.dtype)
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    # In units of the greatest value, a power of two, so that no square over- or underflows.
    exponent = np.frexp(np.abs(flat).max(0))[1]
    flat = np.ldexp(flat, -exponent)
    # From the first value on: the deviations of a constant are 0, whatever its mean is rounded to.
    deviation = flat - flat[0]
    mean = flat[0] + deviation.mean(0)
    std = deviation.std(0)
    with np.errstate(divide="ignore"):
        log_std = np.log(std) + exponent * np.log(2.0)
    varies = (std > float(limits.eps) * np.abs(mean)) & (log_std >= np.log(float(limits.tiny)))
    log_std = np.where(varies, log_std, 0.0)
    most = -np.log(float(limits.tiny))
    if (log_std > most).any():
        raise ValueError(
            f"Data that are standardized in {values.dtype} have a standard deviation of at most "
            f"{np.exp(most):.2g}, got {np.exp(log_std.max()):.2g}: change their unit."
        )
    return np.ldexp(mean, exponent), log_std


def _wide(x: tf.Tensor) -> tf.DType:
    return x.dtype if x.dtype.size >= 4 else tf.float32
