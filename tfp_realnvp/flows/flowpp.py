"""Flow++ (arXiv:1902.00275): couplings by mixtures of logistics."""

from __future__ import annotations

from tfp_realnvp.bijectors import Channels, Checkerboard, Logit, MixtureLogistic, Squeeze
from tfp_realnvp.conditioners import GatedConv
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.registry import register, require_sides
from tfp_realnvp.flows.uva import ALPHA, variational_dequantization


@register("flowpp", ndims=3, sharded=True)
def flowpp(
    event_shape,
    *,
    levels: int,
    couplings: tuple[int, int, int] = (4, 2, 3),
    width: int = 32,
    blocks: int = 3,
    components: int = 8,
) -> list:
    """Variational dequantization and mixture couplings: checkerboard, channel, checkerboard.

    Options: `couplings` before the squeeze, of channels and of pixels behind it; `width` and
    `blocks` of the networks (the paper's are 96 and 10, with attention), `components` of the
    mixtures (the paper takes 32).
    """
    require_sides("flowpp", event_shape, divisor=2)

    def run(partition, count):
        return coupling_run(
            partition,
            count,
            lambda: GatedConv(width=width, blocks=blocks),
            lambda: MixtureLogistic(components=components),
        )

    return [
        variational_dequantization(levels),
        Logit(high=levels, alpha=ALPHA),
        *run(Checkerboard, couplings[0]),
        Squeeze(),
        *run(Channels, couplings[1]),
        *run(Checkerboard, couplings[2]),
    ]
