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
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.registry import register, require_image, require_vector

# Standardized vectors hardly leave the splines' interval, and are not changed outside.
BOUND = 4.0


@register("nsf")
def nsf(
    event_shape,
    *,
    levels: int,
    couplings: int = 8,
    hidden: Sequence[int] = (128, 128),
    widths: tuple[int, int, int] = (32, 48, 64),
    alpha: float = 0.05,
) -> list:
    """Spline couplings: `couplings` with MLPs for vectors, three scales of `widths` for images.

    Options for vectors: number of `couplings`, `hidden` widths of the MLPs. For images: `widths` of
    the networks at the three scales, and the `alpha` of the logit before them; for images with
    large flat parts, such as digits, 1e-5 trains far faster.
    """
    if len(event_shape) == 1:
        return spline_flow_of_vectors(event_shape, couplings=couplings, hidden=hidden)
    require_image("nsf", event_shape, divisor=4)
    if not 0 < alpha < 1:
        raise ValueError(f"nsf needs alpha in (0, 1), got {alpha}.")
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


def spline_flow_of_vectors(event_shape, *, couplings: int, hidden: Sequence[int]) -> list:
    """Even and odd coordinates take turns."""
    require_vector("nsf", event_shape)
    return [
        Standardize(),
        *coupling_run(Alternating, couplings, lambda: MLP(widths=hidden), spline_of_vectors),
    ]


def spline_of_vectors() -> RationalQuadraticSpline:
    """A spline of a coordinate."""
    return RationalQuadraticSpline(bound=BOUND)
