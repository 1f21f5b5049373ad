"""Blockwise: bijectors side by side, each on its own channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.container import Container, Step
from tfp_realnvp.bijectors.foreign import as_members
from tfp_realnvp.core.context import Scope


class Blockwise(Container):
    """Cuts the last axis into equal blocks, each of which goes through a bijector of its own.

    With n members and C channels, member k has those from `k C / n` on:

    * inverse (data to latent): `x = concat(b_1^{-1}(y_1), ..., b_n^{-1}(y_n))`; forward likewise;
    * log-det: the sum of the members'.

    Args:
        bijectors: members, which keep the shape of their blocks.
        name: name of the bijector.

    Raises:
        ValueError: no members; at building, channels that cannot be cut into so many blocks, or a
            member that changes the shape.
        TypeError: a member is not a bijector.

    Example:
        >>> from tfp_realnvp.bijectors import Blockwise, InvertibleConv
        >>> Blockwise([InvertibleConv(), InvertibleConv()]).build((4, 4, 6))
        (4, 4, 6)
    """

    def __init__(self, bijectors: Sequence[tfp.bijectors.Bijector], *, name: str | None = None):
        members = as_members(bijectors, ndims=None)
        if not members:
            raise ValueError("Blocks need at least one bijector.")
        super().__init__(data_ndims=members[0].inverse_min_event_ndims, name=name)
        self.bijectors = members

    @property
    def members(self) -> Sequence[FlowBijector]:
        """The bijectors, in the order of their blocks."""
        return self.bijectors

    @property
    def latent_sizes(self) -> list[int]:
        """See `FlowBijector.latent_sizes`: the blocks are of one scale."""
        return [math.prod(self.event_shape)]

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        *grid, channels = event_shape
        if channels % len(self.bijectors):
            raise ValueError(
                f"{scope.path} cuts channels into {len(self.bijectors)} equal blocks, got events "
                f"of shape {event_shape}."
            )
        block = (*grid, channels // len(self.bijectors))
        for name, bijector in self.named_members():
            built = bijector.build(block, scope.child(name))
            if built != block:
                raise ValueError(
                    f"The members of {scope.path} keep the shape {block} of their blocks, got one "
                    f"to {built}."
                )

    def _walk(self, value, context, *, forward):
        blocks, total = [], 0.0
        for member, block in zip(
            self.bijectors, tf.split(value, len(self.bijectors), axis=-1), strict=True
        ):
            block, log_det = yield Step(member, block, context, forward)
            blocks.append(block)
            total += log_det
        return tf.concat(blocks, -1), total

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"bijectors": list(self.bijectors)}
