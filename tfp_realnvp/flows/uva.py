"""The three flows of the UvA deep learning tutorial 11."""

from __future__ import annotations

from tfp_realnvp.bijectors import (
    Channels,
    Checkerboard,
    Dequantization,
    FactorOut,
    Logit,
    Squeeze,
    VariationalDequantization,
)
from tfp_realnvp.conditioners import GatedConv
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.registry import register, require_sides

ALPHA = 1e-5


@register("uva_simple", ndims=3, sharded=True)
def uva_simple(
    event_shape, *, levels: int, width: int = 32, couplings: int = 8, blocks: int = 3
) -> list:
    """Uniform dequantization and checkerboard couplings at one scale."""
    return [
        Dequantization(levels=levels),
        Logit(high=levels, alpha=ALPHA),
        *coupling_run(Checkerboard, couplings, lambda: GatedConv(width=width, blocks=blocks)),
    ]


@register("uva_vardeq", ndims=3, sharded=True)
def uva_vardeq(
    event_shape, *, levels: int, width: int = 32, couplings: int = 8, blocks: int = 3
) -> list:
    """The simple flow with variational dequantization."""
    return [
        variational_dequantization(levels, blocks=blocks),
        Logit(high=levels, alpha=ALPHA),
        *coupling_run(Checkerboard, couplings, lambda: GatedConv(width=width, blocks=blocks)),
    ]


@register("uva_multiscale", ndims=3, sharded=True)
def uva_multiscale(
    event_shape, *, levels: int, widths: tuple[int, int, int] = (32, 48, 64), blocks: int = 3
) -> list:
    """Variational dequantization and three scales."""
    require_sides("uva_multiscale", event_shape, divisor=4)

    def run(mask, couplings, width):
        return coupling_run(mask, couplings, lambda: GatedConv(width=width, blocks=blocks))

    return [
        variational_dequantization(levels, blocks=blocks),
        Logit(high=levels, alpha=ALPHA),
        *run(Checkerboard, 2, widths[0]),
        Squeeze(),
        *run(Channels, 2, widths[1]),
        FactorOut([Squeeze(), *run(Channels, 4, widths[2])]),
    ]


def variational_dequantization(levels: int, *, blocks: int = 3) -> VariationalDequantization:
    """Four narrow checkerboard couplings that see the image."""
    return VariationalDequantization(
        coupling_run(Checkerboard, 4, lambda: GatedConv(width=16, blocks=blocks)),
        levels=levels,
        alpha=ALPHA,
    )
