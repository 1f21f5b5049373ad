"""Masked autoregressive flow (arXiv:1705.07057) and its inverse (arXiv:1606.04934)."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_realnvp.bijectors import Affine, Autoregressive, Invert, Permutation, Standardize
from tfp_realnvp.conditioners import MADE
from tfp_realnvp.flows.registry import register, require_dimensions

LOG_SCALE_BOUND = 2.0


@register("maf", ndims=1)
def maf(event_shape, *, layers: int = 8, widths: Sequence[int] = (128, 128)) -> list:
    """Affine autoregressive layers, the order reversed between them; sampling takes D passes."""
    require_dimensions("maf", event_shape, least=2)
    return [
        Standardize(),
        *(
            bijector
            for _ in range(layers)
            for bijector in (autoregressive_layer(widths), Permutation())
        ),
    ]


@register("iaf", ndims=1)
def iaf(event_shape, *, layers: int = 8, widths: Sequence[int] = (128, 128)) -> list:
    """The same layers inverted: sampling takes one pass, the density of given data D."""
    require_dimensions("iaf", event_shape, least=2)
    return [
        Standardize(),
        *(
            bijector
            for _ in range(layers)
            for bijector in (Invert(autoregressive_layer(widths)), Permutation())
        ),
    ]


def autoregressive_layer(widths) -> Autoregressive:
    """An affine layer with a masked network."""
    transformer = Affine(bound=LOG_SCALE_BOUND, shift="after")
    return Autoregressive(MADE(widths=widths), transformer=transformer)
