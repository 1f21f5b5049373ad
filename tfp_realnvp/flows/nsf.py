"""Neural spline flow (arXiv:1906.04032): spline couplings, of vectors and of images."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_realnvp.bijectors import (
    Alternating,
    Channels,
    Checkerboard,
    Coupling,
    Dequantization,
    FactorOut,
    Logit,
    Partition,
    RationalQuadraticSpline,
    Squeeze,
    Standardize,
)
from tfp_realnvp.conditioners import MLP, GatedConv
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
        *spline_run(Checkerboard, 4, width=widths[0]),
        Squeeze(),
        *spline_run(Channels, 2, width=widths[1]),
        FactorOut([Squeeze(), *spline_run(Channels, 4, width=widths[2])]),
    ]


def spline_flow_of_vectors(event_shape, *, couplings: int, hidden) -> list:
    """Even and odd coordinates take turns."""
    require_vector("nsf", event_shape)
    return [
        Standardize(),
        *(
            Coupling(
                Alternating(inverted=i % 2 == 1),
                MLP(widths=hidden),
                transformer=RationalQuadraticSpline(bound=BOUND),
            )
            for i in range(couplings)
        ),
    ]


def spline_run(partition: type[Partition], count: int, *, width: int) -> list[Coupling]:
    """Spline couplings with gated convolutions whose partition is inverted every second time."""
    return [
        Coupling(
            partition(inverted=i % 2 == 1),
            GatedConv(width=width),
            transformer=RationalQuadraticSpline(bound=BOUND),
        )
        for i in range(count)
    ]
