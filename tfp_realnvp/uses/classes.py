"""Class-conditional flows: labels bound once, and the classes' posterior by Bayes' rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.core.data_checks import check_labels
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.likelihood import log_prob


def given(dist: Flow, labels: Any) -> tfp.distributions.Distribution:
    """Binds labels to a class-conditional flow: `p(y | labels)` as a distribution.

    Args:
        dist: a class-conditional flow.
        labels: integers of shape `[*batch]`.

    Returns:
        A distribution of batch shape `[*batch]`: `sample(n)` gives `[n, *batch, *event]`, one
        class along each place of the batch, and `log_prob` takes what broadcasts against it.
        Slicing takes places of the batch; keyword arguments are the flow's.

    Raises:
        ValueError: the flow is not conditional, or labels out of range.

    Example:
        >>> import tfp_realnvp as nvp
        >>> dist = nvp.flows.build("realnvp", (2,), num_classes=3)
        >>> one_of_each = nvp.given(dist, [0, 1, 2])
        >>> one_of_each.log_prob(one_of_each.sample(5)).shape
        TensorShape([5, 3])
    """
    return _Given(dist, labels)


class _Given(tfp.distributions.Distribution):
    def __init__(self, dist: Flow, labels: Any):
        parameters = dict(locals())
        check_labels(labels, dist.num_classes, None, name=dist.name)
        super().__init__(
            dtype=dist.dtype,
            reparameterization_type=dist.reparameterization_type,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=f"{dist.name.rstrip('/')}_given",
        )
        self._dist = dist
        self._labels = tf.cast(tf.convert_to_tensor(labels), tf.int32)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def _event_shape(self):
        return self._dist.event_shape

    def _event_shape_tensor(self):
        return self._dist.event_shape_tensor()

    def _batch_shape(self):
        return self._labels.shape

    def _batch_shape_tensor(self):
        return tf.shape(self._labels)

    def __getitem__(self, slices):
        return given(self._dist, self._labels[slices])

    def _log_prob(self, value, **kwargs):
        ndims = len(self._dist.event_shape)
        batch = tf.broadcast_dynamic_shape(tf.shape(value)[:-ndims], tf.shape(self._labels))
        shape = tf.concat([batch, self._dist.event_shape_tensor()], 0)
        value = tf.broadcast_to(value, shape)
        return self._dist.log_prob(value, **self._with_labels(batch, kwargs))

    def _call_sample_n(self, sample_shape, seed, **kwargs):
        shape = self._whole_shape(sample_shape)
        return self._dist.sample(shape, seed=seed, **self._with_labels(shape, kwargs))

    def _sample_and_log_prob(self, sample_shape, seed, **kwargs):
        shape = self._whole_shape(sample_shape)
        return self._dist.experimental_sample_and_log_prob(
            shape, seed=seed, **self._with_labels(shape, kwargs)
        )

    def _whole_shape(self, sample_shape):
        sample_shape = tf.reshape(tf.cast(sample_shape, tf.int32), [-1])
        return tf.concat([sample_shape, tf.shape(self._labels)], 0)

    def _with_labels(self, batch, kwargs):
        known = {
            **kwargs.pop("bijector_kwargs", {}),
            "labels": tf.broadcast_to(self._labels, batch),
        }
        return {**kwargs, "bijector_kwargs": known}


def class_log_probs(
    dist: Flow,
    data: Any,
    *,
    num_importance_samples: int = 1,
    seed: int = 0,
    rows_at_once: int | None = None,
) -> np.ndarray:
    """Estimates `log p(y | class)` for every class.

    The noise of an example is the same for all classes, so that their differences have less
    variance than each of them.

    Args:
        dist: a class-conditional flow.
        data: `[N, *event]` images or vectors.
        num_importance_samples: samples of the dequantization noise.
        seed: seed of the noise.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.

    Returns:
        Nats `[N, num_classes]`.

    Raises:
        ValueError: the flow is not conditional, or bad data.
    """
    if dist.num_classes is None:
        raise ValueError(f"{dist.name} is not conditional on classes.")
    columns = [
        log_prob(
            dist,
            data,
            label,
            num_importance_samples=num_importance_samples,
            seed=seed,
            rows_at_once=rows_at_once,
        )
        for label in range(dist.num_classes)
    ]
    return np.stack(columns, axis=-1)


def class_posterior(dist: Flow, data: Any, *, prior: Any = None, **options: Any) -> np.ndarray:
    """Classifies by Bayes' rule: `P(class | y)` in proportion to `P(class) p(y | class)`.

    Args:
        dist: a class-conditional flow.
        data: `[N, *event]` images or vectors.
        prior: probabilities of the classes, in any scale; None for all alike.
        **options: see `class_log_probs`.

    Returns:
        Probabilities `[N, num_classes]`.

    Raises:
        ValueError: a prior of another size or with negative values; see also `class_log_probs`.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("realnvp", (2,), num_classes=2)  # knows nothing yet
        >>> nvp.class_posterior(dist, np.zeros([1, 2]), prior=[3, 1]).tolist()
        [[0.75, 0.25]]
    """
    scores = class_log_probs(dist, data, **options).astype(np.float64)
    weights = np.ones(scores.shape[1]) if prior is None else np.asarray(prior, np.float64)
    if weights.shape != scores.shape[1:] or (weights < 0).any() or not weights.any():
        raise ValueError(
            f"The prior needs {scores.shape[1]} probabilities that are not all zero, got {prior}."
        )
    # Relative to the likeliest class, so that nothing underflows.
    joint = np.exp(scores - scores.max(-1, keepdims=True)) * weights
    return joint / joint.sum(-1, keepdims=True)
