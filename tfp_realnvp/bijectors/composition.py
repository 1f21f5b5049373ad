"""Composition: a chain of bijectors walked once, with one context and one log-det."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.bijectors.base import FlowBijector, Shape, snake_case
from tfp_realnvp.bijectors.recomputation import inverse_recomputing, is_recomputable
from tfp_realnvp.context import Scope


def checked_members(bijectors: Any) -> list[tfp.bijectors.Bijector]:
    """Returns a list of bijectors.

    Raises:
        TypeError: it is no sequence, or holds something else.
    """
    one = isinstance(bijectors, str | tfp.bijectors.Bijector)
    if one or not isinstance(bijectors, Iterable):
        raise TypeError(f"A composition is made of a list of bijectors, got {bijectors!r}.")
    found = list(bijectors)
    for bijector in found:
        if not isinstance(bijector, tfp.bijectors.Bijector):
            raise TypeError(f"A composition is made of bijectors, got {bijector!r}.")
    return found


class Composition(FlowBijector):
    """Bijectors in a row, listed from data to latent.

    Like `tfb.Chain` (in the same order), but the walk uses the members' fused value and log-det,
    hands one `Context` to all of them and adds up one log-det.

    * inverse: `x = b_n^{-1}(... b_1^{-1}(y))`; forward: `y = b_1(... b_n(x))`;
    * log-det: the sum of the members'.

    Args:
        bijectors: members from data to latent; `FlowBijector`s, or any other `tfb.Bijector` with
            a static event rank.
        name: name of the bijector.

    Raises:
        ValueError: no members.
        TypeError: a member is not a bijector.

    Example:
        >>> from tfp_realnvp.bijectors import Composition, Squeeze, Flatten
        >>> Composition([Squeeze(), Squeeze(), Flatten()]).build((8, 8, 1))
        (64,)
    """

    def __init__(self, bijectors: Sequence[tfp.bijectors.Bijector], *, name: str | None = None):
        bijectors = checked_members(bijectors)
        if not bijectors:
            raise ValueError("A composition needs at least one bijector.")
        super().__init__(
            data_ndims=bijectors[0].inverse_min_event_ndims,
            latent_ndims=bijectors[-1].forward_min_event_ndims,
            name=name,
        )
        self.bijectors = bijectors

    #: The members are recomputed one by one.
    recomputable = False

    @property
    def is_surjective(self) -> bool:
        """Whether any member is."""
        return any(getattr(b, "is_surjective", False) for b in self.bijectors)

    def named_members(self) -> Iterator[tuple[str, tfp.bijectors.Bijector]]:
        """Yields `("coupling_0", bijector)` and so on, each kind counted by itself.

        A member's name, and with it its initial values, is thereby not changed by members of
        other kinds coming or going.
        """
        counts: collections.Counter[str] = collections.Counter()
        for bijector in self.bijectors:
            kind = snake_case(type(bijector).__name__)
            yield f"{kind}_{counts[kind]}", bijector
            counts[kind] += 1

    def share(self, built: Composition, event_shape: Shape) -> Composition:
        """Marks this composition, of members of a built one, as built; returns itself."""
        self._scope, self._built_for = built._scope, event_shape
        return self

    @property
    def needs_data(self) -> bool:
        """See `FlowBijector.needs_data`."""
        return any(getattr(b, "needs_data", False) for b in self.bijectors)

    def _initialize(self, y, context):
        for bijector in self.bijectors:
            if getattr(bijector, "needs_data", False):
                bijector._initialize(y, context)
            if not self.needs_data:
                return
            y = (
                bijector.inverse_and_log_det(y, context)[0]
                if isinstance(bijector, FlowBijector)
                else bijector.inverse(y)
            )

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        for name, bijector in self.named_members():
            if isinstance(bijector, FlowBijector):
                event_shape = bijector.build(event_shape, scope.child(name))
            else:
                event_shape = tuple(bijector.inverse_event_shape(event_shape))

    def _latent_shape(self, data_shape: Shape) -> Shape:
        for bijector in self.bijectors:
            data_shape = tuple(bijector.inverse_event_shape(tf.TensorShape(data_shape)))
        return data_shape

    def _data_shape(self, latent_shape: Shape) -> Shape:
        for bijector in reversed(self.bijectors):
            latent_shape = tuple(bijector.forward_event_shape(tf.TensorShape(latent_shape)))
        return latent_shape

    def _inverse_and_log_det(self, y, context):
        total = None
        for run in self._runs():
            bijector = run[0]
            if self._scope.recompute and is_recomputable(bijector):
                y, log_det = inverse_recomputing(run, y, context)
            elif isinstance(bijector, FlowBijector):
                y, log_det = bijector._inverse_and_log_det(y, context)
            else:
                ndims, data = y.shape.rank - 1, y
                y = bijector.inverse(data)
                log_det = bijector.inverse_log_det_jacobian(data, event_ndims=ndims)
            total = log_det if total is None else total + log_det
        return y, total

    def _runs(self) -> list[list[Any]]:
        """Returns the members one by one, but runs of those to recompute together."""
        if not self._scope.recompute:
            return [[bijector] for bijector in self.bijectors]
        runs: list[list[Any]] = []
        for recomputable, group in itertools.groupby(self.bijectors, is_recomputable):
            members = list(group)
            runs.extend([members] if recomputable else [[bijector] for bijector in members])
        return runs

    def _forward_and_log_det(self, x, context):
        total = None
        for bijector in reversed(self.bijectors):
            if isinstance(bijector, FlowBijector):
                x, log_det = bijector._forward_and_log_det(x, context)
            else:
                ndims, latent = x.shape.rank - 1, x
                x = bijector.forward(latent)
                log_det = bijector.forward_log_det_jacobian(latent, event_ndims=ndims)
            total = log_det if total is None else total + log_det
        return x, total

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"bijectors": list(self.bijectors)}
