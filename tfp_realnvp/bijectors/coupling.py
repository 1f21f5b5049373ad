"""Coupling: one part of the event passes and decides how the other part is transformed."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.partitions import Partition
from tfp_realnvp.bijectors.transformers import Affine, Transformer
from tfp_realnvp.conditioners.base import Conditioner, given_to_rows
from tfp_realnvp.conditioners.keras_layers import built_output_shape
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, Scope


class Coupling(FlowBijector):
    r"""Coupling layer (arXiv:1410.8516, arXiv:1605.08803).

    The event splits into `y_a`, which passes, and `y_b`; a conditioner `g` sees `y_a` and gives
    the parameters of an element-wise invertible map `t`:

    * inverse: `x_a = y_a`, `x_b = t^{-1}(y_b; g(y_a))`;
    * forward: `y_a = x_a`, `y_b = t(x_b; g(x_a))`;
    * log-det: the sum of `log |t'|` over the changed elements. The Jacobian is triangular, so the
      conditioner is never differentiated or inverted, and both directions cost one run of it.

    Args:
        partition: which elements pass.
        conditioner: a `nvp.conditioners` layer, or any Keras layer that maps what it sees to
            `transformer.parameters_per_element` blocks of channels. A condition of each place is
            channels behind what it sees; a plain Keras layer gets one-hot labels and the vector of
            a condition as further channels.
        transformer: the element-wise map; None for `Affine()` with learned bounds.
        name: name of the bijector.

    Raises:
        TypeError: no partition, Keras layer or transformer.
        ValueError: at building, where the event cannot be split, or the conditioner does not fit.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Coupling, Halves
        >>> from tfp_realnvp.conditioners import MLP
        >>> coupling = Coupling(Halves(), MLP(widths=(16,)))
        >>> coupling.inverse(np.ones([3, 4], "float32")).shape
        TensorShape([3, 4])
    """

    def __init__(
        self,
        partition: Partition,
        conditioner: keras.layers.Layer,
        *,
        transformer: Transformer | None = None,
        name: str | None = None,
    ):
        arguments.instance("Coupling", "partition", partition, Partition)
        super().__init__(data_ndims=partition.event_ndims, name=name)
        self.partition = partition
        self.conditioner = arguments.instance(
            "Coupling", "conditioner", conditioner, keras.layers.Layer
        )
        self.transformer = arguments.instance(
            "Coupling", "transformer", transformer or Affine(), Transformer
        )

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        self.partition.mask(event_shape)
        changed = self.partition.changed_size(event_shape)
        outputs = changed * self.transformer.parameters_per_element
        inputs = self.partition.seen_size(event_shape) + scope.condition_channels
        if isinstance(self.conditioner, Conditioner):
            if self.conditioner.event_ndims not in (None, len(event_shape)):
                raise ValueError(
                    f"The conditioner of {scope.path} sees events of rank "
                    f"{self.conditioner.event_ndims}, got shape {event_shape}."
                )
            self.conditioner.prepare(outputs=outputs, scope=scope.child("conditioner"))
        else:
            inputs += (scope.num_classes or 0) + scope.vector_size
        got = built_output_shape(self.conditioner, (None, *event_shape[:-1], inputs))
        if got != (None, *event_shape[:-1], outputs):
            raise ValueError(
                f"The conditioner of {scope.path} must give {outputs} channels for events of shape "
                f"{event_shape}, but gives shape {got}."
            )
        self.transformer.prepare(scope)
        if not self.transformer.built:
            self.transformer.build((None, *event_shape[:-1], changed))
        self._track(self.conditioner)
        self._track(self.transformer)

    @property
    def is_conditional(self) -> bool:
        """See `FlowBijector.is_conditional`."""
        return self._scope.is_conditional or self._scope.condition_channels > 0

    @property
    def needs_data(self) -> bool:
        """See `FlowBijector.needs_data`."""
        return isinstance(self.conditioner, Conditioner) and self.conditioner.needs_data

    def _initialize(self, y, context):
        seen, _ = self.partition.split(y)
        self.conditioner.initialize(_with_condition(seen, context), context)

    def _forward_and_log_det(self, x, context):
        return self._transform(x, context, self.transformer.forward)

    def _inverse_and_log_det(self, y, context):
        return self._transform(y, context, self.transformer.inverse)

    def _transform(self, value, context: Context, method):
        seen, changed = self.partition.split(value)
        changed, log_det = method(changed, self.conditioned(seen, context))
        return self.partition.merge(value, changed), self.partition.total(log_det)

    def conditioned(self, seen: tf.Tensor, context: Context) -> tf.Tensor:
        """Returns what the transformer gets: the conditioner's outputs for the part it sees.

        Args:
            seen: what `partition.split` gives first, `[N, ..., K]`.
            context: the per-call context.

        Returns:
            `[N, ..., parameters_per_element * C]` for C changed channels, in the dtype of `seen`.
        """
        dtype, seen = seen.dtype, _with_condition(seen, context)
        if isinstance(self.conditioner, Conditioner):
            return self.conditioner.parameters(seen, context)
        scope = self._scope
        given = given_to_rows(context, scope.num_classes, scope.vector_size, dtype, name=self.name)
        if given is not None:
            middle = [1] * (seen.shape.rank - 2)
            given = tf.reshape(given, [-1, *middle, given.shape[-1]])
            shape = tf.concat([tf.shape(seen)[:-1], [given.shape[-1]]], 0)
            seen = tf.concat([seen, tf.broadcast_to(given, shape)], -1)
        # Its own policy decides what it computes in.
        return tf.cast(self.conditioner(seen, training=context.training), dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "partition": self.partition,
            "conditioner": self.conditioner,
            "transformer": self.transformer,
        }


def _with_condition(seen: tf.Tensor, context: Context) -> tf.Tensor:
    return seen if context.condition is None else tf.concat([seen, context.condition], -1)
