"""Foreign bijectors: TFP's own, at any place in a flow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.foreign_config import described_bijector, made_bijector
from tfp_realnvp.core.context import Scope

tfb = tfp.bijectors
# The classes whose instances TFP makes of bijectors that are not composite tensors.
_INVERT, _CHAIN = (cls.__mro__[1] for cls in (tfb.Invert, tfb.Chain))


class Foreign(FlowBijector):
    """A `tfb.Bijector` of TFP's as a member of a flow; compositions make it by themselves.

    It maps as the bijector does, with the log-det summed over the event. Its `tf.Variable`s are
    the flow's: trained, and saved. A `.keras` file holds the bijector by its class in
    `tfp.bijectors` and its arguments.

    Args:
        bijector: a bijector of one tensor.
        ndims: rank of the event on the data side; None for the least that the bijector takes.
        name: name of the bijector.

    Raises:
        TypeError: no bijector.
        ValueError: it is not one to one, takes several tensors, normalizes batches, or holds a
            bijector of this library where the flow could not reach it; at building, it has
            arguments for a batch of events, or for events of another shape.

    Example:
        >>> import tensorflow_probability as tfp
        >>> import tfp_realnvp as nvp
        >>> positive = nvp.Flow([tfp.bijectors.Softplus(), nvp.bijectors.Standardize()], (2,))
        >>> bool((positive.sample(5) > 0).numpy().all())
        True
    """

    def __init__(
        self, bijector: tfp.bijectors.Bijector, *, ndims: int | None = None, name: str | None = None
    ):
        if isinstance(bijector, dict):
            bijector = made_bijector(bijector)
        if not isinstance(bijector, tfb.Bijector):
            raise TypeError(f"A composition is made of bijectors, got {bijector!r}.")
        sides = bijector.inverse_min_event_ndims, bijector.forward_min_event_ndims
        if any(tf.nest.is_nested(ndims) for ndims in sides):
            raise ValueError(f"A flow maps one tensor, but {bijector.name} takes several.")
        least, latent_least = map(int, sides)
        if not bijector._is_injective:
            raise ValueError(f"A flow is made of one-to-one maps, and {bijector.name} is none.")
        if hidden := [b for b in bijector.submodules if isinstance(b, FlowBijector)]:
            raise ValueError(
                f"{bijector.name} holds {type(hidden[0]).__name__}, which would get neither labels "
                "nor seed there: put it into the flow's own list of bijectors."
            )
        if any(isinstance(b, tfb.BatchNormalization) for b in (bijector, *bijector.submodules)):
            raise ValueError(
                f"{bijector.name} would make a row's likelihood depend on the rows beside it: take "
                "nvp.bijectors.BatchNorm."
            )
        ndims = max(least, 1) if ndims is None else ndims
        if ndims < least:
            raise ValueError(
                f"{bijector.name} takes events of rank {least} or more, where {ndims} is needed."
            )
        super().__init__(
            data_ndims=ndims, latent_ndims=ndims + latent_least - least, name=name or bijector.name
        )
        self.bijector = bijector

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        dtype = self.bijector.dtype
        if dtype is not None and dtype != scope.dtype:
            raise ValueError(
                f"{self.bijector.name} computes in {tf.as_dtype(dtype).name}, its flow in "
                f"{scope.dtype}: give it arguments of that dtype."
            )
        latent = self.bijector.inverse_event_shape(event_shape)
        batch = self.bijector.experimental_batch_shape(y_event_ndims=len(event_shape))
        if batch.rank:
            raise ValueError(
                f"{self.bijector.name} has arguments for a batch of events, of shape "
                f"{tuple(batch)}: a flow maps every event alike."
            )
        try:
            # Networks inside make their variables at their first call.
            self.bijector.forward(tf.zeros([1, *latent], scope.dtype))
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(
                f"{self.bijector.name} does not take events of shape {event_shape}."
            ) from error
        if self.bijector.variables:
            self._held_weights().adopt(self.bijector.variables)

    def _latent_shape(self, data_shape: Shape) -> Shape:
        return tuple(self.bijector.inverse_event_shape(data_shape))

    def _data_shape(self, latent_shape: Shape) -> Shape:
        return tuple(self.bijector.forward_event_shape(latent_shape))

    def _inverse_and_log_det(self, y, context):
        x = self.bijector.inverse(y)
        ndims = self.inverse_min_event_ndims
        return x, _of_rows(self.bijector.inverse_log_det_jacobian(y, event_ndims=ndims), y)

    def _forward_and_log_det(self, x, context):
        y = self.bijector.forward(x)
        ndims = self.forward_min_event_ndims
        return y, _of_rows(self.bijector.forward_log_det_jacobian(x, event_ndims=ndims), x)

    @property
    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments, as TFP has them."""
        ndims = self.inverse_min_event_ndims
        return {"bijector": self.bijector, "ndims": ndims, "name": self.name}

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, the bijector as text.

        Raises:
            ValueError: it cannot be made again from text, such as one that holds a function.
        """
        described = described_bijector(self.bijector)
        return {"bijector": described, "ndims": self.inverse_min_event_ndims}

    def __repr__(self):
        return f"{type(self.bijector).__name__}()"

    __str__ = __repr__


def as_members(bijectors: Any, *, ndims: int | None = None) -> list[FlowBijector]:
    """Returns members of a composition, in which foreign bijectors have found their rank.

    TFP's `Invert` and `Chain` of bijectors of this library become this library's own.

    Args:
        bijectors: from data to latent.
        ndims: rank of the event at the data end; None to go by the members.

    Raises:
        TypeError: they are no sequence, or hold something else.
        ValueError: a bijector that cannot be a member.
    """
    if isinstance(bijectors, str | tfb.Bijector) or not isinstance(bijectors, Iterable):
        raise TypeError(f"A composition is made of a list of bijectors, got {bijectors!r}.")
    found = [_own(bijector) for bijector in bijectors]
    ndims = _data_ndims(found) if ndims is None else ndims
    members = []
    for bijector in found:
        member = bijector if isinstance(bijector, FlowBijector) else Foreign(bijector, ndims=ndims)
        members.append(member)
        ndims = member.forward_min_event_ndims
    return members


def _own(bijector: Any) -> Any:
    """Returns TFP's wrappers of bijectors of this library as the library's own."""
    from tfp_realnvp.bijectors.composition import Composition
    from tfp_realnvp.bijectors.invert import Invert

    if not isinstance(bijector, tfb.Bijector):
        raise TypeError(f"A composition is made of bijectors, got {bijector!r}.")
    if isinstance(bijector, FlowBijector):
        return bijector
    if not any(isinstance(b, FlowBijector) for b in bijector.submodules):
        return bijector
    if isinstance(bijector, _INVERT):
        return Invert(_own(bijector.bijector))
    if isinstance(bijector, _CHAIN):
        return Composition(bijector.bijectors)
    return bijector


def _data_ndims(bijectors: Sequence[tfp.bijectors.Bijector]) -> int:
    """Returns the rank at the data end: what the first member that changes no rank-0 event says."""
    ranks = (b.inverse_min_event_ndims for b in bijectors)
    return next((rank for rank in ranks if not tf.nest.is_nested(rank) and rank), 1)


def _of_rows(log_det: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    # That of a constant Jacobian comes as one number.
    return tf.broadcast_to(tf.cast(log_det, value.dtype), tf.shape(value)[:1])
