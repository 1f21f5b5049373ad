"""RealNVP (arXiv:1605.08803)."""

from __future__ import annotations

from tfp_realnvp.bijectors import Affine, Alternating, Coupling, Standardize
from tfp_realnvp.conditioners import MLP
from tfp_realnvp.flows.registry import register

LOG_SCALE_BOUND = 2.0


@register("realnvp")
def realnvp(event_shape, *, couplings: int = 8, widths=(128, 128)) -> list:
    """Affine couplings of vectors with MLPs; even and odd coordinates take turns."""
    if len(event_shape) != 1 or event_shape[0] < 2:
        raise ValueError(
            f"realnvp models vectors of at least 2 dimensions, got event shape {event_shape}."
        )
    return [
        Standardize(),
        *(
            Coupling(
                Alternating(inverted=i % 2 == 1),
                MLP(widths=widths),
                transformer=Affine(bound=LOG_SCALE_BOUND),
            )
            for i in range(couplings)
        ),
    ]
