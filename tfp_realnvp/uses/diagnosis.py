"""What a flow makes of data, looked at from all sides: where to begin when training fails."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context
from tfp_realnvp.core.data_checks import check_data, given_to_examples
from tfp_realnvp.execution.graphs import evaluate
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses import latents
from tfp_realnvp.uses.likelihood import nats_per_unit

# Deviations that chance gives a figure of some coordinate once in ten thousand.
_RARE = 4.0


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` has found; its text is a report.

    Attributes:
        terms: the mean of each term of the log-likelihood, in nats, by member from data to latent:
            log-determinants, then `base`, the log-density of the latents. They add up to the mean
            of `log_probs`.
        log_probs: `[N]`, in nats, one sample of the noise.
        round_trip: `[N]`, the largest error of a number of an example after `encode` and `decode`.
        latents: `[N, D]`.
        outliers: `[K]`, rows with the lowest likelihood, lowest first.
        unit: `"bits/dim"` or `"nats"`.
        nats_per_unit: nats in one of these.
        findings: sentences on what is not as it should be.
    """

    terms: dict[str, float]
    log_probs: np.ndarray
    round_trip: np.ndarray
    latents: np.ndarray
    outliers: np.ndarray
    unit: str
    nats_per_unit: float
    findings: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(_report(self))


def diagnose(
    dist: Flow,
    data: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    outliers: int = 5,
    seed: Any = 0,
) -> Diagnosis:
    """Looks at the terms of the likelihood, the round trip, the latents and outliers.

    The latents of a trained flow are standard normal: their means, variances and kurtoses say how
    far it is from that, and the worst coordinates where. A member whose term is far larger than
    the others', or not finite, is where training goes astray.

    Args:
        dist: a flow, of `flows.build` or of your own members.
        data: `[N, *event]`, two examples at least; held-out data say more than training data.
        labels: `[N]`, or one for all, for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        outliers: how many rows to name.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.

    Raises:
        ValueError: bad data, labels, numbers or seed.

    Example:
        >>> import tfp_realnvp as nvp
        >>> moons, _ = nvp.datasets.load_arrays("moons")
        >>> flow = nvp.flows.build("realnvp", (2,), couplings=2)
        >>> flow.initialize(moons)
        >>> list(nvp.diagnose(flow, moons[:100]).terms)
        ['standardize_0', 'coupling_0', 'coupling_1', 'base']
    """
    data = np.asarray(data)
    check_data(data, tuple(dist.event_shape), dist.levels, name=dist.name, dtype=dist.dtype)
    if len(data) < 2:
        raise ValueError(f"A diagnosis needs two examples at least, got {len(data)}.")
    arguments.whole("diagnose", "outliers", outliers, least=0)
    given = given_to_examples(dist, len(data), labels, condition)
    context = Context(seed=seed, **given)
    walked = evaluate(dist, "diagnose", functools.partial(_walked, dist), data, context)
    names = [name for name, _ in dist.bijector.named_members()] + ["base"]
    terms, z = np.split(walked.astype(np.float64), [len(names)], axis=1)
    log_probs = terms.sum(1)
    trip = _round_trip(dist, data, given)
    lowest = np.argsort(np.where(np.isnan(log_probs), -np.inf, log_probs))[:outliers]
    means = dict(zip(names, terms.mean(0).tolist(), strict=True))
    return Diagnosis(
        terms=means,
        log_probs=log_probs,
        round_trip=trip,
        latents=z,
        outliers=lowest,
        unit="nats" if dist.levels is None else "bits/dim",
        nats_per_unit=nats_per_unit(dist),
        findings=tuple(_findings(means, trip, z, levels=dist.levels)),
    )


def _walked(dist: Flow, rows: tf.Tensor, context: Context) -> tf.Tensor:
    """Returns the terms of the likelihood and the latents of rows, `[N, M + 1 + D]`."""
    value, terms = tf.cast(rows, dist.dtype), []
    context = dist.bijector.within(context, tf.shape(rows)[:1])
    for member, own in dist.bijector.with_contexts(context):
        value, log_det = member._inverse_and_log_det(value, own)
        terms.append(log_det)
    terms.append(dist.distribution.log_prob(value))
    return tf.concat([tf.stack(terms, -1), value], -1)


def _round_trip(dist: Flow, data: np.ndarray, given: dict[str, Any]) -> np.ndarray:
    try:
        back = latents.decode(dist, latents.encode(dist, data, **given), **given)
    except ValueError:  # latents that are not finite
        return np.full(len(data), np.inf)
    errors = np.abs(back.astype(np.float64) - data.astype(np.float64))
    return errors.reshape(len(data), -1).max(1)


def _findings(
    terms: dict[str, float], trip: np.ndarray, z: np.ndarray, *, levels: int | None
) -> Iterator[str]:
    if bad := [name for name, term in terms.items() if not math.isfinite(term)]:
        yield f"The term of {bad[0]} is not finite: nothing behind it means anything."
        return
    if not np.isfinite(trip).all():
        yield "Latents of some examples are not finite or decode to no data."
    elif levels is not None and trip.any():
        yield f"{np.count_nonzero(trip)} of {len(trip)} examples do not come back pixel by pixel."
    elif levels is None and trip.max() > 1e-2:
        yield f"An example comes back {trip.max():.1g} off: float32 does not invert the flow there."
    if np.median(np.var(z, 0)) > 4:
        yield "Latents are spread more than twice as wide as the base: the flow is hardly trained."
    bounds = {
        "mean": _RARE / math.sqrt(len(z)) + 0.25,
        "variance": _RARE * math.sqrt(2 / len(z)) + 0.5,
    }
    for name, off in (("mean", np.abs(z.mean(0))), ("variance", np.abs(np.var(z, 0) - 1))):
        if share := np.mean(off > bounds[name]):
            yield (
                f"{share:.1%} of the latents have a {name} that is off by more than "
                f"{bounds[name]:.2f}; the worst is number {off.argmax()}, off by {off.max():.2f}."
            )


def _report(d: Diagnosis) -> Iterator[str]:
    mean, error = d.log_probs.mean(), d.log_probs.std(ddof=1) / math.sqrt(len(d.log_probs))
    per = -1 / d.nats_per_unit
    yield f"{len(d.log_probs)} examples: {mean * per:.4f} ± {error * abs(per):.4f} {d.unit}"
    yield f"\nTerms of the log-likelihood, nats ({d.unit} that they cost)"
    width = max(map(len, d.terms))
    for name, term in d.terms.items():
        yield f"  {name:<{width}}  {term:12.3f}  {term * per:9.4f}"
    z = d.latents
    variance = np.var(z, 0)
    kurtosis = np.mean((z - z.mean(0)) ** 4, 0) / np.maximum(variance, 1e-12) ** 2
    yield "\nLatents, over coordinates: median [least, most]; of N(0, I)"
    for name, values, normal in (
        ("mean", z.mean(0), 0),
        ("variance", variance, 1),
        ("kurtosis", kurtosis, 3),
    ):
        low, high = values.min(), values.max()
        yield f"  {name:<8}  {np.median(values):7.3f} [{low:.3f}, {high:.3f}]; {normal}"
    yield f"\nRound trip: the largest error is {d.round_trip.max():.3g}"
    shown = ", ".join(f"{i} ({d.log_probs[i] * per:.3f})" for i in d.outliers)
    yield f"Least likely rows: {shown}" if shown else "Least likely rows: none asked for"
    yield "\n" + ("\n".join(d.findings) or "Nothing stands out.")
