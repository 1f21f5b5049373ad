"""Variational dequantization by mixture couplings at half resolution."""

from __future__ import annotations

from tfp_realnvp.bijectors import (
    ChannelHalves,
    MixtureLogistic,
    Squeezed,
    VariationalDequantization,
)
from tfp_realnvp.conditioners import GatedConv
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.uva import ALPHA


def mixture_noise(levels: int, *, width: int = 32, blocks: int = 2) -> VariationalDequantization:
    """Returns a dequantizer of four couplings that see the image.

    Args:
        levels: number of integer levels.
        width: of the couplings' networks.
        blocks: of each.
    """
    noise = coupling_run(
        ChannelHalves,
        4,
        lambda: GatedConv(width=width, blocks=blocks, positions=True, last=1),
        lambda: MixtureLogistic(components=4),
    )
    return VariationalDequantization(
        [Squeezed(noise, order="alternative")], levels=levels, alpha=ALPHA
    )
