"""Factor-out: half of the channels leave, the rest goes through a nested flow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.composition import Composition
from tfp_realnvp.bijectors.container import Container, Step
from tfp_realnvp.bijectors.flatten import Flatten, checked_flat
from tfp_realnvp.bijectors.foreign import as_members
from tfp_realnvp.core.context import Scope


class FactorOut(Container):
    """The multi-scale split (arXiv:1605.08803, section 3.6).

    On the data side an event `[H, W, C]`; its last `C - C // 2` channels are latents as they are,
    the first `C // 2` go on through `rest`. On the latent side one flat vector: the latents that
    left first, then those of the rest, coarsest last.

    * inverse: `x = concat(flat(y[..., C//2:]), rest^{-1}(y[..., :C//2]))`;
    * log-det: that of the rest.

    Args:
        rest: bijectors from data to latent for the half that goes on.
        name: name of the bijector.

    Raises:
        ValueError: at building, fewer than 2 channels.

    Example:
        >>> from tfp_realnvp.bijectors import FactorOut, Squeeze
        >>> FactorOut([Squeeze()]).build((14, 14, 4))
        (784,)
    """

    #: The members of the rest are recomputed one by one.
    recomputable = False

    def __init__(self, rest: Sequence[tfp.bijectors.Bijector], *, name: str | None = None):
        super().__init__(data_ndims=3, latent_ndims=1, name=name)
        self.rest = Composition(end_flat(rest, ndims=3), ndims=3, name="rest")

    @property
    def members(self) -> Sequence[FlowBijector]:
        """Those of the rest."""
        return self.rest.members

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        height, width, channels = event_shape
        if channels < 2:
            raise ValueError(f"Factor-out needs at least 2 channels, got shape {event_shape}.")
        self.rest.build((height, width, channels // 2), scope)

    def _leaving_shape(self) -> Shape:
        height, width, channels = self.event_shape
        return height, width, channels - channels // 2

    def _latent_shape(self, data_shape: Shape) -> Shape:
        return (math.prod(data_shape),)

    def _data_shape(self, latent_shape: Shape) -> Shape:
        return checked_flat(self, latent_shape)

    def _walk(self, value, context, *, forward):
        shape = self._leaving_shape()
        if forward:
            leaving, rest = value[:, : math.prod(shape)], value[:, math.prod(shape) :]
            rest, log_det = yield Step(self.rest, rest, context, forward)
            return tf.concat([rest, tf.reshape(leaving, (-1, *shape))], -1), log_det
        rest, leaving = value[..., : -shape[-1]], value[..., -shape[-1] :]
        rest, log_det = yield Step(self.rest, rest, context)
        return tf.concat([tf.reshape(leaving, (-1, math.prod(shape))), rest], -1), log_det

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"rest": list(self.rest.bijectors)}


def end_flat(bijectors: Sequence[tfp.bijectors.Bijector], *, ndims: int) -> list[FlowBijector]:
    """Returns members with a `Flatten` at the latent end where that is no vector.

    Args:
        bijectors: from data to latent.
        ndims: rank of the event at the data end.
    """
    members = as_members(bijectors, ndims=ndims)
    latent_ndims = members[-1].forward_min_event_ndims if members else ndims
    return members if latent_ndims == 1 else [*members, Flatten(ndims=latent_ndims)]
