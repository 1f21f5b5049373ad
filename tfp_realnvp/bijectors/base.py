"""The base of all bijectors here: value and log-determinant in one evaluation.

TFP asks a bijector for `_forward`, `_inverse` and a log-det apart, which runs a coupling's network
twice per likelihood. `FlowBijector` asks for the two fused methods; `bridge` derives the rest.
"""

from __future__ import annotations

import abc
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.bijectors.bridge import Bridge, Shape
from tfp_realnvp.bijectors.rows_inside import context_of_rows, of_any_count
from tfp_realnvp.bijectors.weights import Weights, weights_of
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, Scope, described, serializable
from tfp_realnvp.core.moments import RunningMoments


class FlowBijector(Bridge):
    """A `tfb.Bijector` whose core is two fused methods.

    Subclasses implement `_forward_and_log_det(x, context)` and `_inverse_and_log_det(y, context)`
    on a batch of rank one, `[N, *event]`, both returning the value and the log-determinant `[N]`,
    and, where they have any, `_build` (variables), `_latent_shape` and `_data_shape` (event
    shapes). Forward is latent to data, inverse is data to latent.

    A bijector is built for one event shape: by the flow that holds it, by `build`, or at its first
    use. `_build` makes its weights by `self.log_scale = self.weight("log_scale", (C,))`, and hands
    its networks to `_track`, so that both Keras and `tf.Module` see the very same variables. One
    that holds others is a `Container`.

    Two bijectors are equal when they are of one class, configuration and place, and share their
    variables: a bijector and its `copy`. TFP's cache and `tf.function` rely on it.

    Args:
        data_ndims: rank of the event on the data side.
        latent_ndims: rank of the event on the latent side; None for `data_ndims`.
        name: name of the bijector.
    """

    def __init__(
        self, *, data_ndims: int, latent_ndims: int | None = None, name: str | None = None
    ):
        super().__init__(
            forward_min_event_ndims=data_ndims if latent_ndims is None else latent_ndims,
            inverse_min_event_ndims=data_ndims,
            is_constant_jacobian=False,
            name=name or snake_case(type(self).__name__),
        )
        self._own_layers: list[keras.layers.Layer] = self._no_dependency([])
        self._own_variables: list[tf.Variable] = []
        self._built_for: Shape | None = None
        self._scope = Scope(path=self.name)

    # What subclasses implement.

    @abc.abstractmethod
    def _forward_and_log_det(self, x: tf.Tensor, context: Context) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents `[N, *latent]` to data, with log|det dy/dx| `[N]`."""

    @abc.abstractmethod
    def _inverse_and_log_det(self, y: tf.Tensor, context: Context) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data `[N, *event]` to latents, with log|det dx/dy| `[N]`."""

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        """Creates weights for events of `event_shape`; checks that the shape fits."""

    def _latent_shape(self, data_shape: Shape) -> Shape:
        return data_shape

    def _data_shape(self, latent_shape: Shape) -> Shape:
        return latent_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, from which `from_config` makes an equal bijector."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FlowBijector:
        """Makes a bijector from `get_config`'s result, serialized by Keras or not."""
        return cls(**keras.saving.deserialize_keras_object(config))

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        serializable(cls)

    # What users and compositions call.

    def build(self, event_shape: Shape, scope: Scope | None = None) -> Shape:
        """Creates the variables, once.

        Args:
            event_shape: event shape on the data side, fully known.
            scope: path, seed and dtypes; None for the defaults at this bijector's name.

        Returns:
            The event shape on the latent side.

        Raises:
            ValueError: the shape does not fit, or differs from what it was built for before.
        """
        event_shape = arguments.event_shape(event_shape)
        if len(event_shape) != self.inverse_min_event_ndims:
            raise ValueError(
                f"{type(self).__name__} takes events of rank {self.inverse_min_event_ndims}, "
                f"got shape {event_shape}."
            )
        if self._built_for is not None and scope is not None:
            self._scope.check_fits(scope, self.name)
        if self._built_for is None:
            self._scope = scope or self._scope
            with tf.init_scope():
                self._build(event_shape, self._scope)
            # `tf.Module` does not look into Keras 3 layers; it does find a list of `tf.Variable`.
            self._own_variables = [v.value for own in self._own_layers for v in own.variables]
            self._built_for = event_shape
        elif self._built_for != event_shape:
            raise ValueError(
                f"{self.name} was built for events of shape {self._built_for}, got {event_shape}."
            )
        return self._latent_shape(event_shape)

    def forward_and_log_det(
        self, x: Any, context: Context | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents to data, with the log-determinant, in one evaluation.

        Args:
            x: `[*batch, *latent]`, any numeric dtype.
            context: the per-call context.

        Returns:
            Data `[*batch, *event]` and log|det dy/dx| in nats `[*batch]`.

        Raises:
            ValueError: the event shape is not what the bijector was built for.
        """
        return self._evaluate(self._forward_and_log_det, x, context, latent=True)

    def inverse_and_log_det(
        self, y: Any, context: Context | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data to latents, with the log-determinant, in one evaluation.

        Args:
            y: `[*batch, *event]`, any numeric dtype.
            context: the per-call context.

        Returns:
            Latents `[*batch, *latent]` and log|det dx/dy| in nats `[*batch]`.

        Raises:
            ValueError: the event shape is not what the bijector was built for.
        """
        return self._evaluate(self._inverse_and_log_det, y, context, latent=False)

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The variables that Keras trains: none of a layer with `trainable = False`."""
        return trained_by_keras(super().trainable_variables, self.keras_layers)

    @property
    def event_shape(self) -> Shape:
        """The event shape at the data side that this bijector was built for.

        Raises:
            ValueError: it is not built yet.
        """
        if self._built_for is None:
            raise ValueError(f"{self.name} must be built before it knows its event shape.")
        return self._built_for

    @property
    def members(self) -> Sequence[FlowBijector]:
        """The bijectors inside this one, see `Container`."""
        return ()

    @property
    def is_surjective(self) -> bool:
        """Whether forward is many to one, as quantization is.

        What such a bijector hands back never enters the cache: the inverse of a quantized value
        is not the value before.
        """
        return any(member.is_surjective for member in self.members)

    @property
    def needs_data(self) -> bool:
        """Whether this bijector or a member waits for `initialize` to set it from data."""
        return any(member.needs_data for member in self.members)

    def initialize(self, data: Any, labels: Any = None, condition: Any = None) -> None:
        """Sets what depends on data (standardization, for one) from a batch; eager only.

        Where there is noise on the way, it is a fixed function of each example.

        Args:
            data: `[N, *event]`; what is set already stays as it is.
            labels: `[N]` for class-conditional flows.
            condition: `[N, ...]` for flows with one.
        """
        data = tf.convert_to_tensor(data)
        self.build(tuple(data.shape[1:]))
        if self.needs_data:
            context = Context(noise="per_example", labels=labels, condition=condition)
            context = self.within(context, tf.shape(data)[:1])
            self._initialize(tf.cast(data, self._scope.dtype), context)

    def _initialize(self, y: tf.Tensor, context: Context) -> None:
        """Sets what depends on data from a batch at this bijector's data side."""

    @property
    def is_conditional(self) -> bool:
        """Whether labels or a condition, where there are any, reach this bijector or a member."""
        return any(
            getattr(layer, "given_size", 0) or getattr(layer, "condition_channels", 0)
            for layer in self._own_layers
        ) or any(member.is_conditional for member in self.members)

    @property
    def condition_shape(self) -> tuple[int | None, ...] | None:
        """Shape of the condition of one row at this bijector's data side; None for none."""
        channels = self._scope.condition_channels
        if channels and self._built_for is not None:
            return (*self._built_for[:-1], channels)
        return self._scope.condition_shape

    @property
    def running_moments(self) -> list[RunningMoments]:
        """What batch normalization follows in this bijector's networks, and then in its members."""
        own = [m for layer in self._own_layers for m in getattr(layer, "running_moments", ())]
        return own + [moments for member in self.members for moments in member.running_moments]

    @property
    def latent_sizes(self) -> list[int]:
        """Sizes of the parts of the latents scale by scale, finest first.

        What the last member does not give has left before it.
        """
        coarser = self.members[-1].latent_sizes if self.members else []
        leaving = math.prod(self._latent_shape(self.event_shape)) - sum(coarser)
        return [leaving, *coarser] if leaving else coarser

    @property
    def keras_layers(self) -> tuple[keras.layers.Layer, ...]:
        """The Keras layers of this bijector and of those in it, each once, in files' order."""
        return tuple(dict.fromkeys(layer for b in self._all_within() for layer in b._own_layers))

    def _condition_beyond(self, condition: tf.Tensor) -> tf.Tensor:
        """Returns the condition of the data side with the sides of the event at the latent side.

        Args:
            condition: `[N, ..., K]`, with the sides of the event at the data side.
        """
        if self.forward_min_event_ndims == self.inverse_min_event_ndims:
            return condition
        return tf.reshape(condition, (-1, math.prod(condition.shape[1:])))

    # What is shared by all of them.

    def weight(
        self,
        name: str,
        shape: Shape,
        initializer: Any = "zeros",
        *,
        unit: float = 1.0,
        **options: Any,
    ) -> keras.Variable:
        """Makes a weight, in `_build`; its initial value is a function of (seed, path, name).

        Keras trains and saves it with the flow, in the order in which weights are made. TensorFlow
        takes it as the `tf.Variable` that is its `value`.

        Args:
            name: name of the weight within the bijector.
            shape: its shape.
            initializer: a Keras initializer or its name.
            unit: what is 1 in files.
            **options: see `keras.layers.Layer.add_weight`; the dtype is the flow's.
        """
        return self._held_weights().add(name, shape, initializer, unit=unit, **options)

    def _held_weights(self) -> Weights:
        for layer in self._own_layers:
            if isinstance(layer, Weights):
                return layer
        self._track(weights_of(type(self), self._scope))
        return self._own_layers[-1]

    def _track(self, layer: keras.layers.Layer) -> None:
        """Makes the variables of a Keras layer this bijector's own, in `_build`."""
        self._own_layers.append(layer)

    def _all_within(self) -> list[FlowBijector]:
        """Returns this bijector and all that it holds, however deep, in the order of files."""
        return [b for b in (self, *self.submodules) if isinstance(b, FlowBijector)]

    def _evaluate(self, method, value, context, *, latent):
        context = context or Context()
        value = tf.convert_to_tensor(value)
        ndims = self.forward_min_event_ndims if latent else self.inverse_min_event_ndims
        event = value.shape[-ndims:] if value.shape.rank is not None else tf.TensorShape(None)
        if self._built_for is None and event.is_fully_defined():
            self.build(self._data_shape(tuple(event)) if latent else tuple(event))
        if self._built_for is None:
            raise ValueError(f"{self.name} needs a known event shape, got {value.shape}.")
        expected = self._latent_shape(self._built_for) if latent else self._built_for
        if value.shape.rank is not None and (
            value.shape.rank < ndims or not event.is_compatible_with(expected)
        ):
            raise ValueError(
                f"{self.name} expects events of shape {expected}, got a tensor of shape "
                f"{tuple(value.shape)}."
            )
        value = tf.cast(value, self._scope.dtype)
        batch, static_batch = tf.shape(value)[:-ndims], value.shape[:-ndims]
        context = self.within(context, batch)
        if value.shape.rank == ndims + 1:
            rows = tf.ensure_shape(value, (None, *expected))
        else:
            rows = tf.reshape(value, (-1, *expected))
        convolves = self.inverse_min_event_ndims == 3
        result, log_det = of_any_count(method, rows, context, convolves=convolves)
        if value.shape.rank == ndims + 1:
            return result, log_det
        result_event = tuple(result.shape[1:])
        result = tf.reshape(result, tf.concat([batch, result_event], 0))
        result.set_shape(static_batch.concatenate(result_event))
        log_det = tf.reshape(log_det, batch)
        log_det.set_shape(static_batch)
        return result, log_det

    def within(self, context: Context, batch: tf.Tensor) -> Context:
        """Returns a context as it is inside: with a label and a condition for each row.

        Args:
            context: as users make it.
            batch: shape of the batch, int32 `[ndims]`; rows are counted across all of it.

        Raises:
            ValueError: labels or a condition missing or uncalled for, or others than fit.
        """
        return context_of_rows(
            context,
            batch,
            scope=self._scope,
            condition_shape=self.condition_shape,
            required=self.is_conditional,
            seen_as=self._condition_inside,
            name=self.name,
        )

    def _condition_inside(self, condition: tf.Tensor, context: Context) -> tf.Tensor:
        """Returns conditions `[M, *condition_shape]` as members see them."""
        return condition

    def __repr__(self):
        return described(self, self.get_config())

    __str__ = __repr__


def trained_by_keras(
    variables: Iterable[tf.Variable], layers: Iterable[keras.layers.Layer]
) -> tuple[tf.Variable, ...]:
    """Returns those of some variables that Keras layers train, in their order."""
    trained = {id(v.value) for layer in layers for v in layer.trainable_variables}
    return tuple(variable for variable in variables if id(variable) in trained)


def snake_case(name: str) -> str:
    """Returns `"factor_out"` for `"FactorOut"`, `"neural_ode"` for `"NeuralODE"`."""
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
