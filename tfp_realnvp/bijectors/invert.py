"""Invert: a bijector the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfp_realnvp.bijectors.affine_from_data import AffineFromData
from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.container import Container, Step
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope


class Invert(Container):
    """Swaps the directions of a bijector, as `tfb.Invert` does, and hands the context on.

    * inverse: `x = b(y)`; forward: `y = b^{-1}(x)`; the log-dets change places with them.

    Args:
        bijector: a bijector whose event shape is the same on both sides.
        name: name of the bijector.

    Raises:
        TypeError: not a bijector of this library.
        ValueError: the bijector loses information or starts from data; at building, it changes the
            event shape.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.bijectors import Autoregressive, Invert
        >>> from tfp_realnvp.conditioners import MADE
        >>> iaf = Invert(Autoregressive(MADE(widths=(16,))))
        >>> iaf.forward(np.ones([3, 4], "float32")).shape
        TensorShape([3, 4])
    """

    def __init__(self, bijector: FlowBijector, *, name: str | None = None):
        arguments.instance("Invert", "bijector", bijector, FlowBijector)
        if bijector.is_surjective:
            raise ValueError(f"Only a bijector that loses nothing can be inverted, got {bijector}.")
        # Not `needs_data`: one that has been set from data would come back from a file without.
        if any(isinstance(b, AffineFromData) for b in bijector._all_within()):
            raise ValueError(f"Only a bijector that needs no data can be inverted, got {bijector}.")
        super().__init__(
            data_ndims=bijector.forward_min_event_ndims,
            latent_ndims=bijector.inverse_min_event_ndims,
            name=name,
        )
        self.bijector = bijector

    @property
    def members(self) -> Sequence[FlowBijector]:
        """The bijector."""
        return (self.bijector,)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        latent = self.bijector.build(event_shape, scope)
        if latent != event_shape:
            raise ValueError(
                f"Only a bijector that keeps the event shape can be inverted, got {event_shape} "
                f"to {latent}."
            )

    def _walk(self, value, context, *, forward):
        return (yield Step(self.bijector, value, context, not forward))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"bijector": self.bijector}
