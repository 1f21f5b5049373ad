"""A summary of a flow: every member with its shapes and parameters, from data to latent."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tfp_realnvp.bijectors.autoregressive import Autoregressive
from tfp_realnvp.bijectors.base import FlowBijector
from tfp_realnvp.bijectors.container import Container
from tfp_realnvp.bijectors.coupling import Coupling
from tfp_realnvp.bijectors.neural_ode import NeuralODE
from tfp_realnvp.bijectors.residual import Residual
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
    rows = list(_rows(dist.bijector))
    header: Row = ("member", "what", "latent shape", "parameters")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(4)]
    total = sum(math.prod(v.shape) for v in dist.trainable_variables)
    given = "" if dist.condition_shape is None else f", condition {dist.condition_shape}"
    name = dist.name.rstrip("/")
    title = f"{name}, event {tuple(dist.event_shape)}{given}, {total:,} parameters"
    lines = [
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}"
        for a, b, c, d in [header, *rows]
    ]
    return "\n".join([title, *lines])


def _rows(container: Container, indent: str = "") -> Iterator[Row]:
    for name, bijector in container.named_members():
        shape = bijector._latent_shape(bijector.event_shape)
        parameters = sum(math.prod(v.shape) for v in bijector.trainable_variables)
        yield indent + name, _describe(bijector), str(shape), f"{parameters:,}"
        if isinstance(bijector, Container) and _single(bijector) is None:
            yield from _rows(bijector, indent + "  ")


def _single(bijector: FlowBijector) -> FlowBijector | None:
    """Returns what a bijector holds, where it is one that holds nothing: they share a row."""
    members = bijector.members
    return members[0] if len(members) == 1 and not members[0].members else None


def _describe(bijector: FlowBijector) -> str:
    if isinstance(bijector, Coupling):
        inverted = ", inverted" if bijector.partition.inverted else ""
        return f"{type(bijector.partition).__name__}{inverted}, {_network(bijector.conditioner)}"
    if isinstance(bijector, Autoregressive):
        return f"Autoregressive, {_network(bijector.conditioner)}"
    if isinstance(bijector, NeuralODE):
        return f"NeuralODE, {_network(bijector.velocity)}"
    if isinstance(bijector, Residual):
        return f"Residual, {_network(bijector.network)}"
    if (member := _single(bijector)) is not None:
        return f"{type(bijector).__name__}, {_describe(member)}"
    return type(bijector).__name__ if bijector.members else repr(bijector)


def _network(conditioner) -> str:
    width = getattr(conditioner, "width", None) or getattr(conditioner, "widths", None)
    name = type(conditioner).__name__
    return name if width is None else f"{name} {width}"
