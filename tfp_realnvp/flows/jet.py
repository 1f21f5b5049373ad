"""Jet (arXiv:2412.15129): couplings by vision transformers, and nothing else."""

from __future__ import annotations

import itertools

from tfp_realnvp.bijectors import (
    CheckerboardHalves,
    ColumnHalves,
    Coupling,
    Dequantization,
    Rescale,
    RowHalves,
    ShuffledChannelHalves,
    SigmoidAffine,
    Squeezed,
)
from tfp_realnvp.conditioners import ViT
from tfp_realnvp.core import arguments
from tfp_realnvp.flows.registry import register, require_sides

PATTERNS = (CheckerboardHalves, ColumnHalves, RowHalves)


@register("jet", ndims=3)
def jet(
    event_shape,
    *,
    levels: int,
    couplings: int = 32,
    depth: int = 2,
    width: int = 512,
    heads: int = 8,
    patch: int = 4,
    spatial: int | None = None,
) -> list:
    """Affine couplings on patches: of channels in random order, and every fifth of tokens.

    The defaults are the paper's for images of 64x64: 207,177,216 parameters.

    Options: number of `couplings`; `depth`, `width` and `heads` of each one's transformer; side of
    a `patch`; `spatial`: which one of so many couplings is of tokens, a number beyond `couplings`
    for none (None: the fifth, where both sides of the grid of patches are even; else none).
    """
    arguments.whole("jet", "patch", patch, least=2)
    require_sides("jet", event_shape, divisor=patch)
    if spatial is None:
        is_even = all(side // patch % 2 == 0 for side in event_shape[:2])
        spatial = 5 if is_even else couplings + 1
    patterns = itertools.cycle(
        pattern(inverted=inverted) for pattern in PATTERNS for inverted in (False, True)
    )

    def partition(i):
        if (i + 1) % spatial == 0:
            return next(patterns)
        return ShuffledChannelHalves(seed=i)

    members = [
        Coupling(
            partition(i),
            ViT(width=width, depth=depth, heads=heads),
            transformer=SigmoidAffine(),
        )
        for i in range(couplings)
    ]
    # Pixels of 0 and of levels - 1 are at -1 and 1; their noise goes beyond.
    scaling = Rescale(high=levels - 1, radius=1.0)
    return [Dequantization(levels=levels), scaling, Squeezed(members, side=patch)]
