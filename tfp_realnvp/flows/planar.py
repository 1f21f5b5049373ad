"""Planar flow (arXiv:1505.05770)."""

from __future__ import annotations

from tfp_realnvp.bijectors import Planar, Standardize
from tfp_realnvp.flows.registry import register


@register("planar", ndims=1)
def planar(event_shape, *, layers: int = 16) -> list:
    """Planar layers, from latent to data as in the paper."""
    return [Standardize(), *(Planar() for _ in range(layers))]
