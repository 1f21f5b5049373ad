"""The RealNVP of the eighth lecture: two scales, weight-normalised ResNets."""

from __future__ import annotations

from tfp_realnvp.bijectors import Checkerboard, Coupling, Dequantization, Logit, TanhAffine
from tfp_realnvp.conditioners import ResNet
from tfp_realnvp.flows.multiscale import realnvp_scales
from tfp_realnvp.flows.registry import register, require_image

# 0.9 of the unit interval remains, 0.05 is kept free at both ends.
ALPHA = 0.1


@register("lecture_realnvp")
def lecture_realnvp(
    event_shape,
    *,
    levels: int,
    width: int = 64,
    blocks: int = 8,
    scales: int = 2,
    normalization: str = "batch",
    l2: float = 0.0,
) -> list:
    """Affine couplings with weight-normalised ResNets, at two scales.

    Options: `width` and `blocks` of the first scale's networks, `scales`, `normalization` in the
    networks (`"batch"`, `"instance"` or `"none"`), `l2`: penalty on their weight-norm gains.
    """
    require_image("lecture_realnvp", event_shape, divisor=2 ** (scales - 1))

    def step(partition, width):
        network = ResNet(
            width=width,
            blocks=blocks,
            normalization=normalization,
            double_input=isinstance(partition, Checkerboard),
            l2=l2,
        )
        return [Coupling(partition, network, transformer=TanhAffine(weight_norm=True))]

    return [
        Dequantization(levels=levels),
        Logit(high=levels, alpha=ALPHA),
        *realnvp_scales(step, scales=scales, width=width),
    ]
