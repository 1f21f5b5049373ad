"""Glow (arXiv:1807.03039)."""

from __future__ import annotations

from tfp_realnvp.bijectors import (
    ActNorm,
    Affine,
    ChannelHalves,
    Coupling,
    Dequantization,
    FactorOut,
    Halves,
    InvertibleConv,
    Logit,
    Rescale,
    Squeeze,
    Standardize,
)
from tfp_realnvp.conditioners import MLP, GlowConv
from tfp_realnvp.core import arguments
from tfp_realnvp.flows.registry import register, require_dimensions, require_sides

MOST_SCALES = 3


@register("glow", ndims=1)
def glow_of_vectors(event_shape, *, steps: int = 8, width: int = 128) -> list:
    """Steps of ActNorm, invertible linear map and coupling.

    Options: number of `steps`, `width` of the MLPs' two layers.
    """
    require_dimensions("glow", event_shape, least=2)

    def step() -> list:
        return [
            ActNorm(ndims=1),
            InvertibleConv(ndims=1),
            Coupling(Halves(), MLP(widths=(width, width)), transformer=Affine(shift="after")),
        ]

    return [Standardize(), *(b for _ in range(steps) for b in step())]


@register("glow", ndims=3)
def glow_of_images(
    event_shape,
    *,
    levels: int,
    scales: int | None = None,
    steps: int = 8,
    width: int = 128,
    learned_prior: bool = True,
    alpha: float | None = None,
) -> list:
    """Steps of ActNorm, invertible convolution and coupling, at several scales.

    Options: `scales` (None: as many as the sides can be halved, up to 3), `steps` at each scale,
    `width` of the networks (the paper's are 32 and 512), `learned_prior`: whether what leaves at a
    scale is first brought to the base, given what stays, and `alpha` of a logit before all, in
    (0, 1); None for none, as in the paper. For images with large flat parts, such as digits, 1e-5
    trains far faster.
    """
    if alpha is not None:
        arguments.real("glow", "alpha", alpha, above=0, below=1)
    scales = scales or _halvings(event_shape)
    require_sides("glow", event_shape, divisor=2**scales)

    def step() -> list:
        return [ActNorm(), InvertibleConv(), Coupling(ChannelHalves(), GlowConv(width=width))]

    def scale(index: int) -> list:
        members = [Squeeze(), *(b for _ in range(steps) for b in step())]
        if index == scales - 1:
            return members
        # The half that is about to leave, normalised given the half that stays: a learned prior.
        prior = [Coupling(ChannelHalves(), GlowConv(width=width))] if learned_prior else []
        return [*members, *prior, FactorOut(scale(index + 1))]

    unbounded = Rescale(high=levels) if alpha is None else Logit(high=levels, alpha=alpha)
    return [Dequantization(levels=levels), unbounded, *scale(0)]


def _halvings(event_shape) -> int:
    """Returns how often both sides can be halved, from 1 to `MOST_SCALES`."""
    sides = event_shape[:2]
    counts = [n for n in range(1, MOST_SCALES + 1) if all(side % 2**n == 0 for side in sides)]
    return max(counts, default=1)
