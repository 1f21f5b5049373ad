"""Neural spline flow (arXiv:1906.04032): spline couplings, of vectors and of images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfp_realnvp.bijectors import (
    Alternating,
    Channels,
    Checkerboard,
    Dequantization,
    FactorOut,
    Logit,
    RationalQuadraticSpline,
    Squeeze,
    Standardize,
)
from tfp_realnvp.conditioners import MLP, GatedConv
from tfp_realnvp.core import arguments
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.registry import register, require_dimensions, require_sides

# Standardized vectors hardly leave the splines' interval, and are not changed outside.
BOUND = 4.0


@register("nsf", ndims=1)
def nsf_of_vectors(event_shape, *, couplings: int = 8, hidden: Sequence[int] = (128, 128)) -> list:
    """Spline couplings with MLPs; even and odd coordinates take turns.

    Options: number of `couplings`, `hidden` widths of the MLPs.
    """
    require_dimensions("nsf", event_shape, least=2)
    return [
        Standardize(),
        *coupling_run(
            Alternating,
            couplings,
            lambda: MLP(widths=hidden),
            lambda: RationalQuadraticSpline(bound=BOUND),
        ),
    ]


@register("nsf", ndims=3)
def nsf_of_images(
    event_shape, *, levels: int, widths: tuple[int, int, int] = (32, 48, 64), alpha: float = 0.05
) -> list:
    """Spline couplings at three scales.

    Options: `widths` of the networks at the scales, and the `alpha` of the logit before them, in
    (0, 1); for images with large flat parts, such as digits, 1e-5 trains far faster.
    """
    arguments.real("nsf", "alpha", alpha, above=0, below=1)
    require_sides("nsf", event_shape, divisor=4)
    # The splines' interval has room for the logit of every pixel.
    bound = float(math.ceil(math.log((2 - alpha) / alpha)))

    def spline() -> RationalQuadraticSpline:
        return RationalQuadraticSpline(bound=bound)

    return [
        Dequantization(levels=levels),
        Logit(high=levels, alpha=alpha),
        *coupling_run(Checkerboard, 4, lambda: GatedConv(width=widths[0]), spline),
        Squeeze(),
        *coupling_run(Channels, 2, lambda: GatedConv(width=widths[1]), spline),
        FactorOut(
            [Squeeze(), *coupling_run(Channels, 4, lambda: GatedConv(width=widths[2]), spline)]
        ),
    ]
