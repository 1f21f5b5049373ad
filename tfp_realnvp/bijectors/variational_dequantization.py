"""Variational dequantization: a conditional flow decides how the noise fills its bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, Shape
from tfp_realnvp.bijectors.composition import Composition
from tfp_realnvp.bijectors.container import Container, Step, result_of
from tfp_realnvp.bijectors.dequantization import Dequantization
from tfp_realnvp.bijectors.logit import Logit
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, Scope

# With noise at the centre of its bin, the image of the centre is kept this far from the edges.
CENTRE_MARGIN = 0.05


class VariationalDequantization(Container, Dequantization):
    r"""Dequantization with learned noise `u ~ q(u | y)` (Flow++, arXiv:1902.00275).

    Uniform base noise `e` goes through a logit, couplings that see the image (scaled to
    `[-1, 1]`, and behind it the flow's condition of each pixel, if there is one) and a sigmoid:
    `u = sigmoid(f(logit(e); y))`. Hence

    * inverse (data to latent): `x = y + u`, with the "log-det"
      `-log q(u | y) = log|du/de|`: the bound is `log P(y) >= E_e[log p(y + u) - log q(u | y)]`;
    * forward: `y = clip(floor(x), 0, levels - 1)`, whatever the noise was.

    Args:
        couplings: the noise flow, also of other bijectors such as `Squeezed`; run in their inverse
            direction, from `e` to `u`.
        levels: number of integer levels.
        alpha: shrinkage of the base noise before its logit, in `(0, 1)`.
        name: name of the bijector.

    Raises:
        ValueError: levels or alpha out of range, or couplings that lose information; at building,
            couplings that change the shape.
    """

    def __init__(
        self,
        couplings: Sequence[FlowBijector],
        *,
        levels: int = 256,
        alpha: float = 1e-5,
        name: str | None = None,
    ):
        super().__init__(levels=levels, name=name)
        # At 0 the logit of base noise, which may be 0 itself, would be infinite.
        self.alpha = arguments.real("VariationalDequantization", "alpha", alpha, above=0, below=1)
        self.noise_flow = Composition(couplings, name="noise_flow")
        if self.noise_flow.is_surjective:
            raise ValueError(
                "The noise flow of variational dequantization must lose nothing, got "
                f"{self.noise_flow}."
            )
        self._to_reals = Logit(alpha=alpha, name="noise_logit")
        self._to_unit = Logit(alpha=0.0, name="noise_sigmoid")

    def _build(self, event_shape: Shape, scope: Scope) -> None:
        channels = scope.condition_channels + event_shape[-1]
        built = self.noise_flow.build(
            event_shape, scope.child("noise_flow", condition_channels=channels)
        )
        if built != event_shape:
            raise ValueError(
                f"The noise of variational dequantization keeps the shape {event_shape} of the "
                f"image, got a noise flow to {built}."
            )

    @property
    def members(self) -> Sequence[FlowBijector]:
        """Those of the noise flow."""
        return self.noise_flow.members

    def _walk(self, value, context, *, forward):
        if forward:
            return Dequantization._forward_and_log_det(self, value, context)
        base = self.base_noise(value, context)
        noise, log_q = yield from self._noise_walk(value, base, context)
        return value + noise, -log_q

    def noise_and_log_q(
        self, y: tf.Tensor, base: tf.Tensor, context: Context
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Dequantization.noise_and_log_q`."""
        return result_of(self._noise_walk(y, base, context))

    def seen(self, y: tf.Tensor) -> tf.Tensor:
        """Returns images as the couplings see them, between -1 and 1."""
        return y * (2.0 / (self.levels - 1)) - 1.0

    def _noise_walk(self, y, base, context):
        seen = self.seen(y)
        if context.condition is not None:
            seen = tf.concat([seen, context.condition], -1)
        noise, first = self._to_reals._inverse_and_log_det(base, context)
        noise, second = yield Step(self.noise_flow, noise, context.replace(condition=seen))
        noise, third = self._to_unit._forward_and_log_det(noise, context)
        if context.noise == "centre":
            noise = tf.clip_by_value(noise, CENTRE_MARGIN, 1 - CENTRE_MARGIN)
        return noise, -(first + second + third)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "couplings": list(self.noise_flow.bijectors),
            "levels": self.levels,
            "alpha": self.alpha,
        }
