"""Encoded: bijectors that see what a network makes of the condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow_probability as tfp

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.composition import Composition
from tfp_realnvp.bijectors.container import Container, Step
from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.keras_layers import built_output_shape
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Scope


class Encoded(Container):
    """Bijectors whose conditioners share a network that sees the condition for them.

    Where there is a condition `c`, such as the image in a variational dequantizer, the members see
    `h(c)` in its place. The network h runs once for all of them. With the members b:

    * inverse (data to latent): `x = b^{-1}(y; h(c))`; forward: `y = b(x; h(c))`;
    * log-det: that of the members.

    Args:
        network: a `nvp.conditioners` layer that knows the number of its outputs.
        bijectors: members from data to latent.
        name: name of the bijector.

    Raises:
        TypeError: the network is no conditioner.
        ValueError: at building, no condition, or a network that does not know its outputs.

    Example:
        >>> from tfp_realnvp.bijectors import (
        ...     Checkerboard, Coupling, Encoded, VariationalDequantization
        ... )
        >>> from tfp_realnvp.conditioners import GatedConv, GatedFeatures
        >>> couplings = [Coupling(Checkerboard(), GatedConv(width=4, blocks=1))]
        >>> noise = Encoded(GatedFeatures(width=4, blocks=1), couplings)
        >>> VariationalDequantization([noise]).build((4, 4, 1))
        (4, 4, 1)
    """

    #: The members are recomputed one by one.
    recomputable = False

    def __init__(
        self,
        network: Conditioner,
        bijectors: Sequence[tfp.bijectors.Bijector],
        *,
        name: str | None = None,
    ):
        arguments.instance("Encoded", "network", network, Conditioner)
        rest = Composition(bijectors, name="rest")
        super().__init__(
            data_ndims=rest.inverse_min_event_ndims,
            latent_ndims=rest.forward_min_event_ndims,
            name=name,
        )
        self.network, self.rest = network, rest

    @property
    def members(self) -> Sequence[FlowBijector]:
        """The bijectors that see what the network gives."""
        return self.rest.members

    @property
    def needs_data(self) -> bool:
        """See `FlowBijector.needs_data`."""
        return self.network.needs_data or super().needs_data

    def _initialize(self, y, context):
        if self.network.needs_data:
            self.network.initialize(context.condition, context)
        super()._initialize(y, context)

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        if not scope.condition_channels:
            raise ValueError(
                f"{scope.path} is for bijectors that see a condition, as in a variational "
                "dequantizer; there is none here."
            )
        outputs = self.network.known_outputs()
        self.network.prepare(outputs=outputs, scope=scope.child("network", condition_channels=0))
        built_output_shape(self.network, (None, *event_shape[:-1], scope.condition_channels))
        self._track(self.network)
        self.rest.build(event_shape, scope.child("rest", condition_channels=outputs))

    def _latent_shape(self, data_shape: Shape) -> Shape:
        return self.rest._latent_shape(data_shape)

    def _data_shape(self, latent_shape: Shape) -> Shape:
        return self.rest._data_shape(latent_shape)

    def _condition_beyond(self, condition):
        return self.rest._condition_beyond(condition)

    def _walk(self, value, context, *, forward):
        seen = self.network.parameters(context.condition, context)
        return (yield Step(self.rest, value, context.replace(condition=seen), forward))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"network": self.network, "bijectors": list(self.rest.bijectors)}
