"""RealNVP (arXiv:1605.08803)."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_realnvp.bijectors import (
    Affine,
    Alternating,
    BatchNorm,
    Checkerboard,
    Coupling,
    Dequantization,
    Logit,
    Rescale,
    Standardize,
    TanhAffine,
)
from tfp_realnvp.conditioners import MLP, ResNet
from tfp_realnvp.core import arguments
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.multiscale import realnvp_scales
from tfp_realnvp.flows.registry import register, require_dimensions, require_sides

LOG_SCALE_BOUND = 2.0
PENALTIES = ("gains", "scale", "none")


@register("realnvp", ndims=1)
def realnvp_of_vectors(
    event_shape, *, couplings: int = 8, widths: Sequence[int] = (128, 128)
) -> list:
    """Affine couplings with MLPs that take turns.

    Options: number of `couplings`, `widths` of the MLPs.
    """
    require_dimensions("realnvp", event_shape, least=2)
    return [
        Standardize(),
        *coupling_run(
            Alternating,
            couplings,
            lambda: MLP(widths=widths),
            lambda: Affine(bound=LOG_SCALE_BOUND, shift="after"),
        ),
    ]


@register("realnvp", ndims=3)
def realnvp_of_images(
    event_shape,
    *,
    levels: int,
    scales: int | None = None,
    width: int = 32,
    blocks: int = 4,
    normalization: str = "batch",
    momentum: float = 0.9,
    penalty: str = "gains",
    l2: float = 5e-5,
    alpha: float | None = 0.1,
) -> list:
    """The paper's architecture.

    Options: number of `scales` (None: 2 up to 32 pixels a side, above that down to 4 pixels),
    `width` and `blocks` of the first scale's networks (the paper takes 32 and 4 for 32x32 images,
    64 and 8 for CIFAR-10), `normalization` in them (`"batch"`, `"instance"` or `"none"`),
    `momentum` of the running statistics on the path, what the L2 `penalty` of factor `l2` is on:
    the weight-norm `"gains"` (the paper), the `"scale"` of the tanh, or `"none"`, and the `alpha`
    of the logit, in (0, 1): 0.1 is the paper's `logit(0.05 + 0.9 x / 256)`; for images with large
    flat parts, such as digits, 1e-5 trains far faster; None for no logit at all.
    """
    if penalty not in PENALTIES:
        raise ValueError(f"Unknown penalty {penalty!r}; there are {PENALTIES}.")
    arguments.real("realnvp", "l2", l2, least=0)
    if alpha is not None:
        arguments.real("realnvp", "alpha", alpha, above=0, below=1)
    scales = scales or _scales(event_shape)
    require_sides("realnvp", event_shape, divisor=2 ** (scales - 1))

    def step(partition, width):
        network = ResNet(
            width=width,
            blocks=blocks,
            normalization=normalization,
            double_input=isinstance(partition, Checkerboard),
            l2=l2 if penalty == "gains" else 0.0,
        )
        transformer = TanhAffine(l2=l2 if penalty == "scale" else 0.0)
        return [Coupling(partition, network, transformer=transformer), BatchNorm(momentum=momentum)]

    return [
        Dequantization(levels=levels),
        Rescale(high=levels) if alpha is None else Logit(high=levels, alpha=alpha),
        *realnvp_scales(step, scales=scales, width=width),
    ]


def _scales(event_shape) -> int:
    """Returns how many scales an image gets."""
    height, width = event_shape[:2]
    most = 2 if max(height, width) <= 32 else (min(height, width) // 4).bit_length()

    def fits(halvings: int) -> bool:
        size = 2**halvings
        pixels = (height // size) * (width // size)
        return height % size == 0 and width % size == 0 and pixels >= 2

    return max((n for n in range(1, most + 1) if fits(n - 1)), default=1)
