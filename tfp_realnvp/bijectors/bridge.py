"""What TFP asks of a bijector, answered by two fused methods: cache, shapes, identity, copies.

TFP's cache is filled with the log-det at the same time as with the value, so that neither is
computed twice, and both have the same noise.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.python.framework import tensor_util
from tensorflow_probability.python.internal import cache_util

from tfp_realnvp.core.context import Context, Scope

Shape = tuple[int, ...]


class Bridge(tfp.bijectors.Bijector):
    """A `tfb.Bijector` made of `forward_and_log_det` and `inverse_and_log_det`; see `FlowBijector`.

    Two bijectors are equal when they share their variables, configuration and place: a bijector
    and its `copy`. TFP's cache and `tf.function` go by that. As with TFP's own bijectors, what the
    cache holds of a tensor stays as long as its result is alive, though variables may have changed:
    `inverse_and_log_det` and `tf.identity` go past it.

    Args:
        **kwargs: see `tfb.Bijector`.
    """

    _cache = cache_util.BijectorCacheWithGreedyAttrs(
        forward_name="_forward_and_attributes", inverse_name="_inverse_and_attributes"
    )

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._origin = object()  # shared by copies
        self._built_for: Shape | None = None
        self._scope = Scope(path=self.name)

    @abc.abstractmethod
    def forward_and_log_det(
        self, x: Any, context: Context | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents to data, with the log-determinant."""

    @abc.abstractmethod
    def inverse_and_log_det(
        self, y: Any, context: Context | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data to latents, with the log-determinant."""

    @abc.abstractmethod
    def build(self, event_shape: Shape, scope: Scope | None = None) -> Shape:
        """Creates the variables; returns the event shape on the latent side."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""

    @abc.abstractmethod
    def _latent_shape(self, data_shape: Shape) -> Shape: ...

    @abc.abstractmethod
    def _data_shape(self, latent_shape: Shape) -> Shape: ...

    @property
    @abc.abstractmethod
    def is_surjective(self) -> bool:
        """Whether forward is many to one."""

    @property
    @abc.abstractmethod
    def keras_layers(self) -> tuple[keras.layers.Layer, ...]:
        """The Keras layers of this bijector and of those it holds."""

    def _forward_and_attributes(self, x, **kwargs):
        y, log_det = self.forward_and_log_det(x, Context.from_kwargs(kwargs))
        return y, {"fldj": log_det, "ildj": -log_det}

    def _inverse_and_attributes(self, y, **kwargs):
        x, log_det = self.inverse_and_log_det(y, Context.from_kwargs(kwargs))
        return x, {"ildj": log_det, "fldj": -log_det}

    def _call_forward(self, x, name, **kwargs):
        if not self.is_surjective:
            return super()._call_forward(x, name, **kwargs)
        with self._name_and_control_scope(name):
            return self.forward_and_log_det(x, Context.from_kwargs(kwargs))[0]

    # TFP asks for these two only when the log-det is not in the cache yet. Going through the cache
    # keeps the value too, so that `inverse` afterwards runs nothing.

    def _forward_log_det_jacobian(self, x, **kwargs):
        # The output must be alive while its attributes are read: the cache holds it weakly.
        output = self._cache.forward(x, **kwargs)
        return self._cache.forward_attributes(x, **kwargs)["fldj"] if output is not None else None

    def _inverse_log_det_jacobian(self, y, **kwargs):
        output = self._cache.inverse(y, **kwargs)
        return self._cache.inverse_attributes(y, **kwargs)["ildj"] if output is not None else None

    # TFP's event shapes may have batch dimensions in front.

    def _forward_event_shape(self, input_shape):
        return self._shape_across(input_shape, to_data=True)

    def _inverse_event_shape(self, output_shape):
        return self._shape_across(output_shape, to_data=False)

    def _shape_across(self, shape: tf.TensorShape, *, to_data: bool) -> tf.TensorShape:
        ndims, other_ndims = self.forward_min_event_ndims, self.inverse_min_event_ndims
        across: Callable[[Shape], Shape] = self._data_shape
        if not to_data:
            ndims, other_ndims, across = other_ndims, ndims, self._latent_shape
        if shape.rank is None:
            return shape
        if shape.rank < ndims:
            raise ValueError(f"{self.name} takes events of rank {ndims}, got shape {tuple(shape)}.")
        batch, event = shape[:-ndims], shape[-ndims:]
        if event.is_fully_defined():
            return batch.concatenate(across(tuple(event)))
        if self._built_for is None:
            return batch.concatenate([None] * other_ndims)
        return batch.concatenate(self._built_for if to_data else across(self._built_for))

    def _forward_event_shape_tensor(self, input_shape):
        return self._shape_tensor_across(input_shape, to_data=True)

    def _inverse_event_shape_tensor(self, output_shape):
        return self._shape_tensor_across(output_shape, to_data=False)

    def _shape_tensor_across(self, shape: tf.Tensor, *, to_data: bool) -> tf.Tensor:
        ndims, other_ndims = self.forward_min_event_ndims, self.inverse_min_event_ndims
        if not to_data:
            ndims, other_ndims = other_ndims, ndims
        event = self._shape_across(tensor_util.constant_value_as_shape(shape), to_data=to_data)
        event = event[-other_ndims:]
        if not event.is_fully_defined():
            raise ValueError(f"{self.name} needs a static event shape before it is built.")
        return tf.concat(
            [shape[: tf.size(shape) - ndims], tf.constant(event.as_list(), tf.int32)], 0
        )

    # Identity, copies and pickles.

    @property
    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments, as TFP has them."""
        return {**self.get_config(), "name": self.name}

    def copy(self, **overrides: Any) -> Any:
        """Returns an equal bijector, or one with other arguments.

        Without other arguments than a name, a built bijector's copy shares its variables. With
        others, members and layers that are handed on are shared, and the copy's own weights start
        from this bijector's where name and shape agree.

        Args:
            **overrides: arguments of the constructor.
        """
        copied = type(self)(**{**self.parameters, **overrides})
        if overrides.keys() <= {"name"}:
            name = copied.name
            if self._built_for is not None:
                copied.__dict__.update(self.__dict__)
                copied._name = name
            copied._origin = self._origin
        elif self._built_for is not None:
            copied.build(self._built_for, self._scope)
            weights = _by_path(self)
            for path, variable in _by_path(copied).items():
                if path in weights and weights[path].shape == variable.shape:
                    variable.assign(weights[path])
        return copied

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Bridge) or self._origin is not other._origin:
            return False
        return self._state() == other._state()

    def __hash__(self) -> int:
        return id(self._origin)

    def _state(self) -> tuple:
        return self._built_for, self._scope, [id(v) for v in self.variables]

    def __reduce__(self):
        # For `pickle` and `copy.deepcopy`: a bijector with variables of its own.
        config = keras.saving.serialize_keras_object(self)["config"]
        values = [variable.numpy() for variable in self.variables]
        config = {**config, "name": self.name}
        return _revived, (type(self), config, self._built_for, self._scope, values)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}


def _by_path(bijector: Bridge) -> dict[str, Any]:
    return {v.path: v for layer in bijector.keras_layers for v in layer.variables}


def _revived(cls, config, event_shape, scope, values) -> Any:
    bijector = cls.from_config(config)
    if event_shape is not None:
        bijector.build(event_shape, scope)
        for variable, value in zip(bijector.variables, values, strict=True):
            variable.assign(value)
    return bijector
