"""Dequantization noise: its values in a flow, its histogram, and its density after the logit."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.bijectors import Logit
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, Scope
from tfp_realnvp.core.data_checks import check_data, given_to_examples
from tfp_realnvp.execution.graphs import evaluate
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.likelihood import seed_of_noise


def dequantization_noise(
    dist: Flow,
    images: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    seed: Any = 0,
    rows_at_once: int | None = None,
) -> np.ndarray:
    """Draws the noise `u` that a flow adds to images before their density is taken.

    Args:
        dist: a flow of images.
        images: `[N, H, W, C]` integers.
        labels: `[N]`, or one for all, for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.

    Returns:
        `[N, H, W, C]` in `[0, 1]`, as fractions of a level: uniform for uniform dequantization,
        for variational dequantization as the noise flow has learned it.

    Raises:
        ValueError: bad images, labels, numbers or seed, or a flow of continuous data.
    """
    if dist.levels is None:
        raise ValueError(f"Only integer images are dequantized; {dist.name} has vectors.")
    images = np.asarray(images)
    check_data(images, tuple(dist.event_shape), dist.levels, name=dist.name)
    given = given_to_examples(dist, len(images), labels, condition)
    context = Context(seed=seed_of_noise(seed), **given)
    drawn = functools.partial(_noise, dist)
    return evaluate(dist, "dequantization_noise", drawn, images, context, rows_at_once=rows_at_once)


def noise_histogram(
    dist: Flow,
    images: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    bins: int = 32,
    seed: Any = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Counts the values of the dequantization noise on `[0, 1]`, each once.

    Args:
        dist: a flow of images.
        images: `[N, H, W, C]` integers.
        labels: `[N]`, or one for all, for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        bins: number of bins of equal width.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.

    Returns:
        Counts `[bins]`, which sum to the number of values, and edges `[bins + 1]` from 0 to 1.

    Raises:
        ValueError: no bins; bad images, labels or seed, or a flow of continuous data.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17)
        >>> counts, edges = nvp.noise_histogram(dist, np.zeros([10, 8, 8, 1], "uint8"), bins=4)
        >>> int(counts.sum()), edges.tolist()
        (640, [0.0, 0.25, 0.5, 0.75, 1.0])
    """
    arguments.whole("noise_histogram", "bins", bins)
    noise = dequantization_noise(dist, images, labels, condition=condition, seed=seed)
    return np.histogram(noise, bins=bins, range=(0.0, 1.0))


def dequantization_density(
    points: Any, prior: Any, *, alpha: float = 1e-5
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the density of uniformly dequantized levels after their logit, and whose it is.

    Level k has the bin `[k, k + 1)` of `[0, levels)` with mass `prior[k]` spread evenly;
    `Logit(high=levels, alpha=alpha)` carries it to the reals. The density at x is
    `prior[k] |dy/dx|` with y the level's point that x comes from: in units of levels the bins have
    width 1, so that no factor of `levels` is left, and the whole integrates to 1.

    Args:
        points: `[N]` points x on the real line, finite.
        prior: `[levels]` probabilities of the levels, in any scale.
        alpha: shrinkage of the logit.

    Returns:
        The level of each point, int `[N]`, and the density there, float64 `[N]`; 0 in the outer
        tails that no level reaches.

    Raises:
        ValueError: a prior that is no distribution over at least 2 levels, points that are not
            `[N]` and finite, or alpha out of range.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.uses.dequantization_noise import dequantization_density
        >>> points = np.arange(-14, 14, 0.001)
        >>> level, density = dequantization_density(points, [0.1, 0.2, 0.4, 0.3])
        >>> round(float(density.sum() * 0.001), 3)
        1.0
    """
    prior = np.asarray(prior, np.float64)
    finite = np.isfinite(prior).all()
    if prior.ndim != 1 or len(prior) < 2 or not finite or (prior < 0).any() or not prior.any():
        raise ValueError(f"The prior needs probabilities of at least 2 levels, got {prior}.")
    points = np.asarray(points, np.float64)
    if points.ndim != 1 or not np.isfinite(points).all():
        raise ValueError(f"The density is that at finite points [N], got {points}.")
    levels = len(prior)
    logit = Logit(high=levels, alpha=alpha, ndims=1)
    logit.build((1,), Scope(path="logit", dtype="float64"))
    y, log_slope = logit.forward_and_log_det(points[:, None])
    y = y.numpy()[:, 0]
    level = np.clip(np.floor(y), 0, levels - 1).astype(int)
    inside = (y >= 0) & (y < levels)
    return level, np.where(inside, prior[level] / prior.sum() * np.exp(log_slope.numpy()), 0.0)


def _noise(dist, rows, context):
    y, context = tf.cast(rows, dist.dtype), dist.bijector.within(context, tf.shape(rows)[:1])
    return dist.quantizer.noise_and_log_q(y, dist.quantizer.base_noise(y, context), context)[0]
