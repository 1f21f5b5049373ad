"""Squeezed: bijectors at lower resolution, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow_probability as tfp

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.composition import Composition
from tfp_realnvp.bijectors.container import Container, Step
from tfp_realnvp.bijectors.squeeze import Squeeze
from tfp_realnvp.core.context import Context, Scope


class Squeezed(Container):
    """Bijectors between a squeeze and the way back, on a quarter of the pixels or fewer.

    With the squeeze `s` from `[H, W, C]` to `[H/S, W/S, S*S*C]`, S = 2 or more (or of columns
    alone, to `[H, W/2, 2C]`):

    * inverse (data to latent): `x = s^{-1}(b^{-1}(s(y)))`; forward: `y = s^{-1}(b(s(x)))`;
    * log-det: that of the members b.

    What the conditioners see beside their inputs, such as the image in a variational dequantizer,
    is squeezed as well. The noise of Flow++'s dequantizer (arXiv:1902.00275) at half resolution is
    `VariationalDequantization([Squeezed([...])])`.

    Args:
        bijectors: members from data to latent, which keep the shape.
        order: of the squeeze; see `Squeeze`.
        side: side S of the squeeze's blocks.
        name: name of the bijector.

    Raises:
        ValueError: an unknown order or side; at building, an image that cannot be squeezed, or
            members that change the shape.

    Example:
        >>> from tfp_realnvp.bijectors import ChannelHalves, Coupling, Squeezed
        >>> from tfp_realnvp.conditioners import GatedConv
        >>> Squeezed([Coupling(ChannelHalves(), GatedConv(width=4))]).build((4, 4, 1))
        (4, 4, 1)
    """

    #: The members are recomputed one by one.
    recomputable = False

    def __init__(
        self,
        bijectors: Sequence[tfp.bijectors.Bijector],
        *,
        order: str = "position_major",
        side: int = 2,
        name: str | None = None,
    ):
        super().__init__(data_ndims=3, name=name)
        self._squeeze = self._no_dependency(Squeeze(order=order, side=side))
        self.order, self.side = order, self._squeeze.side
        self.rest = Composition(bijectors, ndims=3, name="rest")

    @property
    def members(self) -> Sequence[FlowBijector]:
        """The bijectors behind the squeeze."""
        return self.rest.members

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        squeezed = self._squeeze.build(event_shape)
        channels = squeezed[-1] // event_shape[-1] * scope.condition_channels
        built = self.rest.build(squeezed, scope.child("rest", condition_channels=channels))
        if built != squeezed:
            raise ValueError(
                f"The members of {scope.path} keep the shape {squeezed} of what is squeezed, got "
                f"members to {built}."
            )

    def _walk(self, value, context, *, forward):
        if context.condition is not None:
            condition = self._squeeze._condition_beyond(context.condition)
            context = context.replace(condition=condition)
        value, log_det = yield Step(self.rest, self._squeezed(value), context, forward)
        return self._squeeze._forward_and_log_det(value, context)[0], log_det

    def _squeezed(self, value):
        return self._squeeze._inverse_and_log_det(value, Context())[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"bijectors": list(self.rest.bijectors), "order": self.order, "side": self.side}
