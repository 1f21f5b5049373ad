"""Mixture couplings from half the pixels to the whole digit: the house's best likelihood."""

from __future__ import annotations

from tfp_realnvp.bijectors import (
    ActNorm,
    ChannelHalves,
    FactorOut,
    InvertibleConv,
    Logit,
    MixtureLogistic,
    Squeeze,
)
from tfp_realnvp.conditioners import GatedConv
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.mixture_noise import mixture_noise
from tfp_realnvp.flows.registry import register, require_sides
from tfp_realnvp.flows.uva import ALPHA


@register("mixture_multiscale", ndims=3, sharded=True)
def mixture_multiscale(
    event_shape,
    *,
    levels: int,
    couplings: tuple[int, int, int, int] = (5, 4, 3, 4),
    widths: tuple[int, int, int] = (32, 64, 80),
    blocks: int = 2,
    components: int = 10,
    heads: int = 4,
    dropout: float = 0.0,
) -> list:
    """Couplings by mixtures of logistics on ever fewer pixels, the last with attention.

    The squeeze in the alternative order puts the two colours of the checkerboard into halves of
    the channels. One colour leaves given the other; of the rest one diagonal is modelled given the
    other; then, at a quarter of the sides, attention sees the whole image.

    Options: numbers of `couplings` on both colours, on one, at a quarter of the sides, and there
    behind learned mixings; `widths` of the networks of the noise, at half and at a quarter of the
    sides, all of so many `blocks`; `components` of the mixtures; `heads` of the attention, and
    `dropout` in the flow's networks.
    """
    require_sides("mixture_multiscale", event_shape, divisor=4)

    def network(width, **options):
        return GatedConv(width=width, blocks=blocks, positions=True, last=1, **options)

    def fine():
        return network(widths[1], dropout=dropout)

    def coarse():
        return network(widths[2], heads=heads, dropout=dropout)

    def mixture():
        return MixtureLogistic(components=components)

    def mixed():
        return [ActNorm(), InvertibleConv(), *coupling_run(ChannelHalves, 1, coarse, mixture)]

    return [
        mixture_noise(levels, width=widths[0], blocks=blocks),
        Logit(high=levels, alpha=ALPHA),
        Squeeze(order="alternative"),
        ActNorm(),
        *coupling_run(ChannelHalves, couplings[0], fine, mixture),
        FactorOut(
            [
                *coupling_run(ChannelHalves, couplings[1], fine, mixture),
                Squeeze(order="alternative"),
                *coupling_run(ChannelHalves, couplings[2], coarse, mixture),
                *(member for _ in range(couplings[3]) for member in mixed()),
            ]
        ),
    ]
