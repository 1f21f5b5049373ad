"""What a training step reports beside its loss and likelihood, for who asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.core.context import Context
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.likelihood import nats_per_unit
from tfp_realnvp.uses.terms import log_prob_terms, term_names

#: What can be asked for.
LOGS = ("terms", "gradient_noise")
# Shares of a whole add up to 1 but for this.
_ROUNDING = 1e-5


def checked_logs(owner: str, log: Any) -> tuple[str, ...]:
    """Returns names of `LOGS`, each once.

    Raises:
        ValueError: there is another among them.
    """
    for name in log:
        if name not in LOGS:
            raise ValueError(f"{owner} has no log {name!r}; there are {LOGS}.")
    return tuple(name for name in LOGS if name in log)


class NoiseScale(keras.metrics.Metric):
    r"""The simple noise scale of gradients, in rows (arXiv:1812.06162, section 2.2).

    `B = tr(S) / |G|^2`, with G the gradient's mean and S its covariance from row to row: a batch of
    B rows has a gradient that is as much noise as signal, and much larger batches gain little.

    The gradient of a batch is the sum `g = sum_k c_k` of what its parts give. With `s_k` the share
    of a part in the batch, and v the sum of the squared shares of the rows, 1/N for N alike,

    * `E|g|^2 = |G|^2 + tr(S) v` and `E sum_k |c_k|^2 = |G|^2 sum_k s_k^2 + tr(S) v`, so that
    * `|G|^2 ~ (|g|^2 - sum_k |c_k|^2) / (1 - sum_k s_k^2)` and `tr(S) ~ (|g|^2 - |G|^2) / v`.

    Both estimates are unbiased; B is the ratio of their means over the steps. It is infinite where
    the mean of the first is not above 0: the gradient cannot be told from its noise.

    Example:
        >>> from tfp_realnvp.training.step_logs import NoiseScale
        >>> scale = NoiseScale()
        >>> scale.update_state(2.0, of_parts=1.4, squared_shares=0.5, squared_weights=0.1)
        >>> round(float(scale.result()), 3)  # (2 - 1.2) / 0.1 over 1.2
        6.667
    """

    def __init__(self, name: str = "gradient_noise_scale"):
        super().__init__(name=name)
        self._signal = self.add_variable((), "zeros", name="signal")
        self._noise = self.add_variable((), "zeros", name="noise")

    def update_state(
        self, squared: Any, *, of_parts: Any, squared_shares: Any, squared_weights: Any
    ) -> None:
        """Takes a step in; one that had all rows in one part changes nothing.

        Args:
            squared: `|g|^2`.
            of_parts: `sum_k |c_k|^2`.
            squared_shares: `sum_k s_k^2`.
            squared_weights: v.
        """
        signal = tf.math.divide_no_nan(squared - of_parts, 1.0 - squared_shares)
        noise = tf.math.divide_no_nan(squared - signal, squared_weights)
        divided = tf.cast(1.0 - squared_shares > _ROUNDING, self.dtype)
        self._signal.assign_add(tf.cast(signal, self.dtype) * divided)
        self._noise.assign_add(tf.cast(noise, self.dtype) * divided)

    def result(self) -> tf.Tensor:
        """Returns B."""
        above = self._signal > 0
        ratio = self._noise / tf.where(above, self._signal.value, 1.0)
        return tf.where(above, ratio, float("inf"))


class StepLogs:
    """The figures that a step gathers over its rows, and the metrics that are made of them.

    Args:
        dist: the flow.
        names: of `LOGS`.

    Attributes:
        size: how many figures there are.
        metrics: of Keras; none if nothing is asked for.
    """

    def __init__(self, dist: Flow, names: Sequence[str] = ()):
        self._dist = dist
        unit = "nats" if dist.levels is None else "bits_per_dim"
        terms = term_names(dist) if "terms" in names else ()
        self._terms = [keras.metrics.Mean(name=f"{term}_{unit}") for term in terms]
        self._norm = self._noise = None
        if "gradient_noise" in names:
            self._norm, self._noise = keras.metrics.Mean(name="gradient_norm"), NoiseScale()
        self.size = max(1, len(terms)) + 2 * self.has_noise

    @property
    def has_noise(self) -> bool:
        """Whether the noise of gradients is logged."""
        return self._noise is not None

    @property
    def of_training(self) -> list[keras.metrics.Metric]:
        """Metrics of training steps alone."""
        return [] if self._noise is None else [self._norm, self._noise]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """All metrics."""
        return [*self._terms, *self.of_training]

    def log_probs(self, x: tf.Tensor, context: Context) -> tf.Tensor:
        """Returns the log-probability of rows in nats, as `[N, T]` terms that add up to it."""
        if self._terms:
            return log_prob_terms(self._dist, x, context)
        return self._dist.log_prob_in(x, context)[:, None]

    def means(self, log_probs: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
        """Returns the means of terms, `[T]`, or of a part of the rows their share of these.

        Args:
            log_probs: terms of the rows, `[N, T]`.
            shares: of the rows in the whole batch, `[N]`.
        """
        return tf.reduce_sum(log_probs * shares[:, None], 0)

    def figures(self, log_probs: tf.Tensor, shares: tf.Tensor, gradients: Any) -> tf.Tensor:
        """Returns what a training step adds up over its parts, `[size]`.

        Args:
            log_probs: see `means`.
            shares: likewise.
            gradients: of the part.
        """
        means = self.means(log_probs, shares)
        if not self.has_noise:
            return means
        squares = tf.stack([_norm(gradients), tf.reduce_sum(shares)]) ** 2
        return tf.concat([means, squares], 0)

    def track(self, figures: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Tells the metrics of terms what a batch has; returns its likelihood, in the unit.

        Args:
            figures: means of terms of the whole batch, in nats.
            rows: how much the batch counts.
        """
        terms = -figures[: max(1, len(self._terms))] / nats_per_unit(self._dist)
        for number, metric in enumerate(self._terms):
            metric.update_state(terms[number], sample_weight=rows)
        return tf.reduce_sum(terms)

    def track_gradients(self, gradients: Any, figures: tf.Tensor, shares: tf.Tensor) -> None:
        """Tells the metrics of gradients what a step has.

        Args:
            gradients: of the whole batch.
            figures: of the whole batch.
            shares: of its rows.
        """
        if self._norm is None or self._noise is None:
            return
        norm = _norm(gradients)
        self._norm.update_state(norm)
        self._noise.update_state(
            norm**2,
            of_parts=figures[-2],
            squared_shares=figures[-1],
            squared_weights=tf.reduce_sum(shares**2),
        )


def _norm(gradients: Any) -> tf.Tensor:
    return tf.linalg.global_norm(gradients) if gradients else tf.zeros([])
