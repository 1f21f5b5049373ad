"""The RealNVP of the eighth lecture: two scales, weight-normalised ResNets."""

from __future__ import annotations

from tfp_realnvp.bijectors import Checkerboard, Coupling, Dequantization, Logit, TanhAffine
from tfp_realnvp.conditioners import ResNet
from tfp_realnvp.core import arguments
from tfp_realnvp.flows.multiscale import realnvp_scales
from tfp_realnvp.flows.registry import register, require_sides


@register("lecture_realnvp", ndims=3)
def lecture_realnvp(
    event_shape,
    *,
    levels: int,
    width: int = 64,
    blocks: int = 8,
    scales: int = 2,
    normalization: str = "batch",
    l2: float = 0.0,
    alpha: float = 0.1,
) -> list:
    """Affine couplings with weight-normalised ResNets, at two scales.

    Options: `width` and `blocks` of the first scale's networks, `scales`, `normalization` in the
    networks (`"batch"`, `"instance"` or `"none"`), `l2`: penalty on their weight-norm gains,
    and the `alpha` of the logit: 0.1 is the lecture's, which keeps 0.05 free at both ends; for
    images with large flat parts, such as digits, 1e-5 trains far faster.
    """
    arguments.real("lecture_realnvp", "alpha", alpha, above=0, below=1)
    require_sides("lecture_realnvp", event_shape, divisor=2 ** (scales - 1))

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
        Logit(high=levels, alpha=alpha),
        *realnvp_scales(step, scales=scales, width=width),
    ]
