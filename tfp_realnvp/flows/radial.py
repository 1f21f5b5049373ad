"""Radial flow (arXiv:1505.05770)."""

from __future__ import annotations

from tfp_realnvp.bijectors import Radial, Standardize
from tfp_realnvp.flows.registry import register


@register("radial", ndims=1)
def radial(event_shape, *, layers: int = 16) -> list:
    """Radial layers, from latent to data as in the paper."""
    return [Standardize(), *(Radial() for _ in range(layers))]
