"""A summary of a flow: every member with its shapes and parameters, from data to latent."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tfp_realnvp.bijectors.autoregressive import Autoregressive
from tfp_realnvp.bijectors.base import Shape
from tfp_realnvp.bijectors.composition import Composition
from tfp_realnvp.bijectors.coupling import Coupling
from tfp_realnvp.bijectors.factor_out import FactorOut
from tfp_realnvp.bijectors.invert import Invert
from tfp_realnvp.bijectors.neural_ode import NeuralODE
from tfp_realnvp.bijectors.variational_dequantization import VariationalDequantization
from tfp_realnvp.flow import Flow

Row = tuple[str, str, str, str]


def summary(dist: Flow) -> str:
    """Returns a table of a flow's members, from data to latent.

    Args:
        dist: a flow.

    Example:
        >>> import tfp_realnvp as nvp
        >>> print(nvp.summary(nvp.flows.build("realnvp", (2,), couplings=1)))
        realnvp, event (2,), 17,026 parameters
        member         what                         latent shape  parameters
        standardize_0  Standardize()                (2,)                   0
        coupling_0     Alternating, MLP (128, 128)  (2,)              17,026
    """
    rows = list(_rows(dist.bijector, tuple(dist.event_shape), ""))
    header: Row = ("member", "what", "latent shape", "parameters")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(4)]
    total = sum(math.prod(v.shape) for v in dist.trainable_variables)
    title = f"{dist.name.rstrip('/')}, event {tuple(dist.event_shape)}, {total:,} parameters"
    lines = [
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}"
        for a, b, c, d in [header, *rows]
    ]
    return "\n".join([title, *lines])


def _rows(composition: Composition, shape: Shape, indent: str) -> Iterator[Row]:
    for name, bijector in composition.named_members():
        latent = tuple(bijector.inverse_event_shape(shape))
        inner = _inner(bijector)
        parameters = sum(math.prod(v.shape) for v in bijector.trainable_variables)
        yield indent + name, _describe(bijector), str(latent), f"{parameters:,}"
        if inner is not None:
            yield from _rows(inner, inner.event_shape, indent + "  ")
        shape = latent


def _inner(bijector) -> Composition | None:
    if isinstance(bijector, FactorOut):
        return bijector.rest
    if isinstance(bijector, VariationalDequantization):
        return bijector.noise_flow
    return bijector if isinstance(bijector, Composition) else None


def _describe(bijector) -> str:
    if isinstance(bijector, Coupling):
        inverted = ", inverted" if bijector.partition.inverted else ""
        return f"{type(bijector.partition).__name__}{inverted}, {_network(bijector.conditioner)}"
    if isinstance(bijector, Autoregressive):
        return f"Autoregressive, {_network(bijector.conditioner)}"
    if isinstance(bijector, Invert):
        return f"Invert, {_describe(bijector.bijector)}"
    if isinstance(bijector, NeuralODE):
        return f"NeuralODE, {_network(bijector.velocity)}"
    return type(bijector).__name__ if _inner(bijector) is not None else repr(bijector)


def _network(conditioner) -> str:
    width = getattr(conditioner, "width", None) or getattr(conditioner, "widths", None)
    name = type(conditioner).__name__
    return name if width is None else f"{name} {width}"
