"""NICE (arXiv:1410.8516): additive couplings, which keep volumes, and a scale."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_realnvp.bijectors import Additive, Alternating, Scale, Standardize
from tfp_realnvp.conditioners import MLP
from tfp_realnvp.flows.coupling_run import coupling_run
from tfp_realnvp.flows.registry import register, require_dimensions


@register("nice", ndims=1)
def nice(event_shape, *, couplings: int = 8, widths: Sequence[int] = (128, 128)) -> list:
    """Additive couplings with MLPs that take turns; the scale at the end alone changes volumes.

    Options: number of `couplings`, `widths` of the MLPs.
    """
    require_dimensions("nice", event_shape, least=2)
    return [
        Standardize(),
        *coupling_run(Alternating, couplings, lambda: MLP(widths=widths), Additive),
        Scale(),
    ]
