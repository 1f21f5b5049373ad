"""Neural spline flow (arXiv:1906.04032): spline couplings, of vectors and of images."""

from __future__ import annotations

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

# Logits of pixels stay within log(0.975 / 0.025) = 3.7, inside the splines' interval.
ALPHA, BOUND = 0.05, 4.0


@register("nsf")
def nsf(
    event_shape,
    *,
    levels: int,
    couplings: int = 8,
    hidden: Sequence[int] = (128, 128),
    widths: tuple[int, int, int] = (32, 48, 64),
) -> list:
    """Spline couplings: `couplings` with MLPs for vectors, three scales of `widths` for images."""
    if len(event_shape) == 1:
        return spline_flow_of_vectors(event_shape, couplings=couplings, hidden=hidden)
    require_image("nsf", event_shape, divisor=4)
    return [
        Dequantization(levels=levels),
        Logit(high=levels, alpha=ALPHA),
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
        *coupling_run(Alternating, couplings, lambda: MLP(widths=hidden), spline),
    ]


def spline() -> RationalQuadraticSpline:
    """A spline of an element."""
    return RationalQuadraticSpline(bound=BOUND)
