"""Residual flow (arXiv:1906.02735): contractions added to their input, of vectors and images."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_realnvp.bijectors import (
    ActNorm,
    Dequantization,
    FlowBijector,
    Logit,
    Residual,
    Squeeze,
    Standardize,
)
from tfp_realnvp.conditioners import LipschitzConv, LipschitzMLP
from tfp_realnvp.core import arguments
from tfp_realnvp.flows.registry import register, require_sides


@register("residual", ndims=1)
def residual_of_vectors(
    event_shape,
    *,
    blocks: int = 16,
    widths: Sequence[int] = (64, 64),
    lipschitz: float = 0.97,
    exact_log_det: bool | None = None,
) -> list:
    """ActNorm and a residual block in turn.

    Options: number of `blocks`, `widths` of their networks, the Lipschitz constant `lipschitz` of
    what they add, and whether their log-determinant is exact (None: see `Residual`).
    """
    return [
        Standardize(),
        *(
            member
            for _ in range(blocks)
            for member in (
                ActNorm(ndims=1),
                Residual(
                    LipschitzMLP(widths=widths), lipschitz=lipschitz, exact_log_det=exact_log_det
                ),
            )
        ),
    ]


@register("residual", ndims=3)
def residual_of_images(
    event_shape,
    *,
    levels: int,
    scales: int = 2,
    blocks: int = 4,
    width: int = 32,
    lipschitz: float = 0.97,
    exact_log_det: bool | None = None,
    alpha: float = 1e-5,
) -> list:
    """ActNorm and a residual block in turn, with a squeeze between scales; nothing is factored out.

    Options: number of `scales`, of `blocks` at each, `width` of their networks, `lipschitz` and
    `exact_log_det` as for vectors, and the `alpha` of the logit, in (0, 1).
    """
    arguments.real("residual", "alpha", alpha, above=0, below=1)
    require_sides("residual", event_shape, divisor=2 ** (scales - 1))
    members: list[FlowBijector] = [Dequantization(levels=levels), Logit(high=levels, alpha=alpha)]
    for scale in range(scales):
        members += [Squeeze()] if scale else []
        for _ in range(blocks):
            network = LipschitzConv(width=width)
            block = Residual(network, lipschitz=lipschitz, exact_log_det=exact_log_det)
            members += [ActNorm(), block]
    return members
