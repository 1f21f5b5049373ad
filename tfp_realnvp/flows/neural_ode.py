"""Continuous flow (FFJORD, arXiv:1810.01367)."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_realnvp.bijectors import NeuralODE, Standardize
from tfp_realnvp.conditioners import Velocity
from tfp_realnvp.flows.registry import register


@register("neural_ode", ndims=1)
def neural_ode(
    event_shape,
    *,
    widths: Sequence[int] = (64, 64, 64),
    exact_trace: bool | None = None,
    tolerance: float = 1e-4,
    max_steps: int = 500,
) -> list:
    """One velocity field from latent to data."""
    return [
        Standardize(),
        NeuralODE(
            Velocity(widths=widths),
            exact_trace=exact_trace,
            tolerance=tolerance,
            max_steps=max_steps,
        ),
    ]
