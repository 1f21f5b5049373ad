"""Conditional: a flow's bijectors, and what its condition goes through before they see it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors.composition import Composition
from tfp_realnvp.bijectors.standardize import Standardize
from tfp_realnvp.core.context import Context, Scope

# Conditions that an encoder sees at a time, when what it makes of them is looked at.
ROWS = 256


class Conditional(Composition):
    """The composition of a flow with a condition, which it prepares for all members.

    An encoder, if there is one, makes a condition of what is given. A condition comes in any
    units: `initialize` sets a mean and a scale of each of its components (of images: of each
    channel) from the first data, as `Standardize` does for the event, and members see
    `(c - mean) / scale`. Until then they see it as it is. Flows make this by themselves.

    Args:
        *args: see `Composition`.
        encoder: see `nvp.Flow`; None for none.
        **kwargs: see `Composition`.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("realnvp", (2,), condition_shape=(3,))
        >>> condition = np.random.default_rng(0).normal(1000, 50, size=(64, 3))
        >>> dist.initialize(np.random.default_rng(1).normal(size=(64, 2)), condition=condition)
        >>> dist.sample(64, bijector_kwargs={"condition": condition}).shape
        TensorShape([64, 2])
    """

    def __init__(self, *args: Any, encoder: keras.Model | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.encoder = self._no_dependency(encoder)
        self._units = Standardize(name="condition_units")

    @property
    def condition_shape(self) -> tuple[int | None, ...] | None:
        """Shape of what is given for one row: of an observation, where there is an encoder."""
        return super().condition_shape if self.encoder is None else self.encoder.input_shape[1:]

    @property
    def needs_data(self) -> bool:
        """Whether the units or a member wait for `initialize`."""
        return self._units.needs_data or super().needs_data

    def initialize(self, data, labels=None, condition=None):
        """See `FlowBijector.initialize`."""
        self.build(np.shape(data)[1:])
        if condition is not None and self._units.needs_data:
            given = np.asarray(condition)
            parts = [given[i : i + ROWS] for i in range(0, len(given), ROWS)]
            seen = np.concatenate([self._encoded(part, training=False) for part in parts])
            self._units.initialize(seen.reshape(-1, seen.shape[-1]))
        super().initialize(data, labels, condition)

    def share(self, built, event_shape):
        """See `Composition.share`."""
        self.encoder = built.encoder
        self.use_units_of(built)
        return super().share(built, event_shape)

    def use_units_of(self, other: Conditional) -> None:
        """Has the condition standardised as another composition does, now and later."""
        self._units = other._units

    def _condition_inside(self, condition: Any, context: Context) -> tf.Tensor:
        seen = self._encoded(condition, training=context.training)
        return self._units.inverse_and_log_det(seen)[0]

    def _encoded(self, condition, *, training):
        return condition if self.encoder is None else self.encoder(condition, training=training)

    def _build(self, event_shape, scope: Scope) -> None:
        assert scope.condition_shape is not None
        units = Scope(path=f"{scope.path}/condition_units", seed=scope.seed, dtype=scope.dtype)
        self._units.build(scope.condition_shape[-1:], units)
        if self.encoder is not None:
            self._track(self.encoder)
        super()._build(event_shape, scope)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "encoder": self.encoder}
