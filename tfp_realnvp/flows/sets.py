"""A flow of point sets, which does not see in what order the points come."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_realnvp.bijectors import ActNorm, Affine, MeanScale, PointHalves
from tfp_realnvp.conditioners import DeepSet
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.registry import register

LOG_SCALE_BOUND = 2.0


@register("sets", ndims=2)
def sets(event_shape, *, couplings: int = 8, widths: Sequence[int] = (64, 64)) -> list:
    """Affine couplings over the coordinates, whose networks see all points, and mean scales.

    Whatever the order of the points, the density is the same, and samples are exchangeable.

    Options: number of `couplings`, `widths` of the networks.
    """
    run = coupling_run(
        PointHalves,
        couplings,
        lambda: DeepSet(widths=widths),
        lambda: Affine(bound=LOG_SCALE_BOUND, shift="after"),
    )
    mixed = (member for coupling in run for member in (MeanScale(), coupling))
    return [ActNorm(ndims=2), *mixed]
