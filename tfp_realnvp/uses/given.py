"""Conditional flows with their labels and condition bound once, as ordinary distributions."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.core.data_checks import check_condition, check_labels
from tfp_realnvp.core.row_checks import condition_for_rows
from tfp_realnvp.flow import Flow


def given(
    dist: Flow, labels: Any = None, *, condition: Any = None
) -> tfp.distributions.Distribution:
    """Binds labels, a condition or both to a conditional flow: `p(y | ...)` as a distribution.

    Args:
        dist: a flow that is conditional on classes, a condition or both.
        labels: integers of shape `[*batch]`, for class-conditional flows.
        condition: numbers of shape `[*batch, *condition_shape]`, for flows with a condition. Beside
            labels, the batch is what those of both broadcast to.

    Returns:
        A distribution of batch shape `[*batch]`: `sample(n)` gives `[n, *batch, *event]`, one
        label and one condition along each place of the batch, and `log_prob` takes what
        broadcasts against it. Slicing takes places of the batch; keyword arguments are the flow's.

    Raises:
        ValueError: the flow is not conditional, labels or a condition are missing or uncalled for,
            labels out of range, or a condition of another shape or not finite.

    Example:
        >>> import tfp_realnvp as nvp
        >>> dist = nvp.flows.build("realnvp", (2,), num_classes=3)
        >>> one_of_each = nvp.given(dist, [0, 1, 2])
        >>> one_of_each.log_prob(one_of_each.sample(5)).shape
        TensorShape([5, 3])
        >>> dist = nvp.flows.build("realnvp", (2,), condition_shape=(3,))
        >>> nvp.given(dist, condition=[0.0, 1.0, 2.0]).sample(5).shape
        TensorShape([5, 2])
    """
    return _Given(dist, labels, condition)


class _Given(tfp.distributions.Distribution):
    def __init__(self, dist: Flow, labels: Any, condition: Any):
        parameters = dict(locals())
        name, shape = dist.name.rstrip("/"), dist.condition_shape
        if dist.num_classes is None and shape is None:
            raise ValueError(f"{name} is not conditional on classes or a condition.")
        check_labels(labels, dist.num_classes, None, name=name)
        check_condition(condition, shape, name=name)
        super().__init__(
            dtype=dist.dtype,
            reparameterization_type=dist.reparameterization_type,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=f"{name}_given",
        )
        self._dist = dist
        parts: dict[str, tf.Tensor] = {}
        if labels is not None:
            parts["labels"] = tf.cast(tf.convert_to_tensor(labels), tf.int32)
        if shape is not None:
            condition = tf.convert_to_tensor(condition)
            batch = tf.shape(condition)[: -len(shape)]
            parts["condition"] = condition_for_rows(
                condition, shape, batch, dtype=dist.dtype, name=name
            )
        self._event_ndims = {"labels": 0, "condition": len(shape or ())}
        batches = [self._batch_of(key, part) for key, part in parts.items()]
        batch = functools.reduce(tf.broadcast_dynamic_shape, batches)
        self._parts = self._no_dependency(
            {key: self._broadcast(key, part, batch) for key, part in parts.items()}
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def _event_shape(self):
        return self._dist.event_shape

    def _event_shape_tensor(self):
        return self._dist.event_shape_tensor()

    def _batch_shape(self):
        key, part = next(iter(self._parts.items()))
        return part.shape[: part.shape.rank - self._event_ndims[key]]

    def _batch_shape_tensor(self):
        return self._batch_of(*next(iter(self._parts.items())))

    def _batch_of(self, key, part):
        return tf.shape(part)[: part.shape.rank - self._event_ndims[key]]

    def _broadcast(self, key, part, batch):
        event = tf.shape(part)[part.shape.rank - self._event_ndims[key] :]
        return tf.broadcast_to(part, tf.concat([batch, event], 0))

    def __getitem__(self, slices):
        batch = self._batch_shape_tensor()
        places = tf.reshape(tf.range(tf.reduce_prod(batch)), batch)[slices]

        def chosen(key, part):
            event = tf.shape(part)[part.shape.rank - self._event_ndims[key] :]
            return tf.gather(tf.reshape(part, tf.concat([[-1], event], 0)), places)

        return given(self._dist, **{key: chosen(key, part) for key, part in self._parts.items()})

    def _log_prob(self, value, **kwargs):
        ndims = len(self._dist.event_shape)
        batch = tf.broadcast_dynamic_shape(tf.shape(value)[:-ndims], self._batch_shape_tensor())
        shape = tf.concat([batch, self._dist.event_shape_tensor()], 0)
        value = tf.broadcast_to(value, shape)
        return self._dist.log_prob(value, **self._with_parts(batch, kwargs))

    def _call_sample_n(self, sample_shape, seed, **kwargs):
        shape = self._whole_shape(sample_shape)
        return self._dist.sample(shape, seed=seed, **self._with_parts(shape, kwargs))

    def _sample_and_log_prob(self, sample_shape, seed, **kwargs):
        shape = self._whole_shape(sample_shape)
        return self._dist.experimental_sample_and_log_prob(
            shape, seed=seed, **self._with_parts(shape, kwargs)
        )

    def _whole_shape(self, sample_shape):
        sample_shape = tf.reshape(tf.cast(sample_shape, tf.int32), [-1])
        return tf.concat([sample_shape, self._batch_shape_tensor()], 0)

    def _with_parts(self, batch, kwargs):
        known = dict(kwargs.pop("bijector_kwargs", {}))
        # Not for the samples in front: the flow looks at a condition once for all of them.
        batch = batch[tf.size(batch) - len(self.batch_shape) :]
        for key, part in self._parts.items():
            known[key] = self._broadcast(key, part, batch)
        return {**kwargs, "bijector_kwargs": known}
