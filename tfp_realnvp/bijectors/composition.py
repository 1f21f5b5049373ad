"""Composition: a chain of bijectors walked once, with one context and one log-det."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.container import Container, Step
from tfp_realnvp.bijectors.foreign import as_members
from tfp_realnvp.bijectors.recomputation import inverse_recomputing, is_recomputable
from tfp_realnvp.core.context import Context, Scope


class Composition(Container):
    """Bijectors in a row, listed from data to latent.

    Like `tfb.Chain` (in the same order), but the walk uses the members' fused value and log-det,
    hands one `Context` to all of them and adds up one log-det.

    * inverse: `x = b_n^{-1}(... b_1^{-1}(y))`; forward: `y = b_1(... b_n(x))`;
    * log-det: the sum of the members'.

    Args:
        bijectors: members from data to latent; `FlowBijector`s, or any other `tfb.Bijector` of one
            tensor, see `Foreign`.
        ndims: rank of the event on the data side; None to go by the members.
        name: name of the bijector.

    Raises:
        ValueError: no members.
        TypeError: a member is not a bijector.

    Example:
        >>> from tfp_realnvp.bijectors import Composition, Squeeze, Flatten
        >>> Composition([Squeeze(), Squeeze(), Flatten()]).build((8, 8, 1))
        (64,)
    """

    def __init__(
        self,
        bijectors: Sequence[tfp.bijectors.Bijector],
        *,
        ndims: int | None = None,
        name: str | None = None,
    ):
        members = as_members(bijectors, ndims=ndims)
        if not members:
            raise ValueError("A composition needs at least one bijector.")
        super().__init__(
            data_ndims=members[0].inverse_min_event_ndims,
            latent_ndims=members[-1].forward_min_event_ndims,
            name=name,
        )
        self.bijectors = members

    #: The members are recomputed one by one.
    recomputable = False

    @property
    def members(self) -> Sequence[FlowBijector]:
        """The bijectors, from data to latent."""
        return self.bijectors

    def __eq__(self, other: object) -> bool:
        # Equal are compositions of the same members, such as `Flow.continuous` each time.
        if self is other:
            return True
        if not isinstance(other, Composition) or type(self) is not type(other):
            return False
        return self.bijectors == other.bijectors and self._built_for == other._built_for

    def __hash__(self) -> int:
        return hash(tuple(self.bijectors))

    def share(self, built: Composition, event_shape: Shape) -> Composition:
        """Marks this composition, of members of a built one, as built; returns itself."""
        self._scope, self._built_for = built._scope, event_shape
        return self

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        channels = scope.condition_channels
        for name, bijector in self.named_members():
            before, own = event_shape, scope.child(name, condition_channels=channels)
            event_shape = bijector.build(before, own)
            if channels:
                shape = bijector._condition_beyond(tf.zeros([1, *before[:-1], channels])).shape[1:]
                if shape[:-1] != event_shape[:-1]:
                    raise ValueError(
                        f"{own.path} takes events of shape {before} to {event_shape}, which a "
                        "condition of each pixel cannot follow."
                    )
                channels = shape[-1]

    def _latent_shape(self, data_shape: Shape) -> Shape:
        for bijector in self.bijectors:
            data_shape = bijector._latent_shape(data_shape)
        return data_shape

    def _data_shape(self, latent_shape: Shape) -> Shape:
        for bijector in reversed(self.bijectors):
            latent_shape = bijector._data_shape(latent_shape)
        return latent_shape

    def _condition_beyond(self, condition):
        for bijector in self.bijectors:
            condition = bijector._condition_beyond(condition)
        return condition

    def with_contexts(self, context: Context) -> list[tuple[FlowBijector, Context]]:
        """Returns each member with the context at its data side, from data to latent."""
        found = []
        for member in self.bijectors:
            found.append((member, context))
            if context.condition is not None:
                beyond = member._condition_beyond(context.condition)
                context = context.replace(condition=beyond)
        return found

    def _walk(self, value, context, *, forward):
        total = None
        members = self.with_contexts(context)
        for member, own in reversed(members) if forward else members:
            value, log_det = yield Step(member, value, own, forward)
            total = log_det if total is None else total + log_det
        return value, total

    def _inverse_and_log_det(self, y, context):
        if not self._scope.recompute:
            return super()._inverse_and_log_det(y, context)
        total = tf.zeros(tf.shape(y)[:1], y.dtype)
        members = self.with_contexts(context)
        for recomputable, group in itertools.groupby(members, lambda own: is_recomputable(own[0])):
            if recomputable:
                y, log_det = inverse_recomputing(list(group), y)
                total += log_det
                continue
            for member, own in group:
                y, log_det = member._inverse_and_log_det(y, own)
                total += log_det
        return y, total

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"bijectors": list(self.bijectors)}
