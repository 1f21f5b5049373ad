"""From integer images to bits per dimension: the one path of the likelihood."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, stateless_seed
from tfp_realnvp.core.data_checks import check_data, given_to_examples
from tfp_realnvp.core.stored import StoredRows
from tfp_realnvp.execution.graphs import evaluate
from tfp_realnvp.flow import Flow


def log_prob(
    dist: Flow,
    data: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    num_importance_samples: int = 1,
    seed: Any = 0,
    first_row: int = 0,
    rows_at_once: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    r"""Estimates log-probabilities in nats, chunk by chunk.

    With k importance samples of the dequantization noise,
    `log (1/k) sum_i p(y + u_i) / q(u_i | y)`: a lower bound in expectation that tightens with k.
    For continuous data k makes no difference, as there is no noise.

    Args:
        dist: a flow.
        data: `[N, *event]` images (integers) or vectors, or `datasets.StoredRows` of them.
        labels: `[N]` for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        num_importance_samples: k.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.
        first_row: number of the first example in the whole of which these are a part: each gets
            the noise that it has there.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.
        progress: called with the number of examples after each evaluation of a chunk, k times for
            each chunk if the data are images.

    Returns:
        `[N]`, in the flow's dtype.

    Raises:
        ValueError: bad data or labels, k < 1, or another bad number or seed.
    """
    _check_samples(num_importance_samples)
    if dist.levels is None:
        num_importance_samples = 1
    # One draw of the noise at a time: memory does not grow with k.
    draws = _draws(
        dist,
        data,
        labels,
        condition,
        num_importance_samples,
        seed,
        rows_at_once,
        progress,
        first_row,
    )
    return functools.reduce(np.logaddexp, draws) - math.log(num_importance_samples)


def bits_per_dim(
    dist: Flow,
    images: Any,
    labels: Any = None,
    num_importance_samples: int = 8,
    seed: Any = 0,
    *,
    condition: Any = None,
    rows_at_once: int | None = None,
) -> np.ndarray:
    """Returns `-log2 P(image) / D` per image, by importance sampling; see `log_prob`.

    Args:
        dist: a flow of images.
        images: `[N, H, W, C]` integers.
        labels: `[N]` for class-conditional flows.
        num_importance_samples: samples of the dequantization noise.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.

    Returns:
        `[N]` float32, bits per dimension.

    Raises:
        ValueError: bad images, labels, numbers or seed, or a flow of continuous data.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17)
        >>> nvp.bits_per_dim(dist, np.zeros([3, 8, 8, 1], "uint8")).shape
        (3,)
    """
    _require_images(dist)
    nats = log_prob(
        dist,
        images,
        labels,
        condition=condition,
        num_importance_samples=num_importance_samples,
        seed=seed,
        rows_at_once=rows_at_once,
    )
    return (-nats / nats_per_unit(dist)).astype(np.float32)


def importance_curve(
    dist: Flow,
    images: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    num_importance_samples: int = 64,
    seed: Any = 0,
    rows_at_once: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Returns the importance-weighted likelihood as a curve over the number of samples.

    All points come from the same K samples: that of k is the mean over the K / k groups of k
    samples in a row of the estimate `log (1/k) sum p(y + u) / q(u | y)`. By Jensen's inequality
    the curve never falls from k to 2k, for every image and every draw (arXiv:1509.00519 has it in
    expectation).

    Args:
        dist: a flow of images.
        images: `[N, H, W, C]` integers.
        labels: `[N]` for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        num_importance_samples: K, a power of two.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.

    Returns:
        The numbers of samples `1, 2, 4, ..., K` as int `[M]`, and bits per dimension `[M, N]`,
        float32. The last row is `bits_per_dim(..., num_importance_samples=K)`.

    Raises:
        ValueError: K is not a power of two; bad images, labels, numbers or seed, or a flow of
            continuous data.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17)
        >>> images = np.zeros([3, 8, 8, 1], "uint8")
        >>> counts, bits = nvp.importance_curve(dist, images, num_importance_samples=4)
        >>> counts.tolist(), bits.shape
        ([1, 2, 4], (3, 3))
    """
    total = _check_samples(num_importance_samples)
    if total & (total - 1):
        raise ValueError(f"num_importance_samples must be a power of two, got {total}.")
    _require_images(dist)
    draws = _draws(dist, images, labels, condition, total, seed, rows_at_once)
    samples = np.stack(list(draws), 0)
    counts = 2 ** np.arange(total.bit_length())
    groups = [samples.astype(np.float64).reshape(total // k, k, -1) for k in counts]
    nats = [(np.logaddexp.reduce(g, axis=1) - math.log(g.shape[1])).mean(0) for g in groups]
    return counts, (-np.stack(nats) / nats_per_unit(dist)).astype(np.float32)


def nats_per_unit(dist: Flow) -> float:
    """Returns what to divide nats by: `D ln 2` for images, 1 for vectors."""
    if dist.levels is None:
        return 1.0
    return math.prod(dist.event_shape.as_list()) * math.log(2)


def _check_samples(count: Any) -> int:
    return arguments.whole("A likelihood", "num_importance_samples", count)


def _require_images(dist: Flow) -> None:
    if dist.levels is None:
        raise ValueError(f"Bits per dimension are of integer images; {dist.name} has vectors.")


def _draws(
    dist: Flow,
    data: Any,
    labels: Any,
    condition: Any,
    count: int,
    seed: Any,
    rows_at_once: int | None,
    progress: Callable[[int], None] | None = None,
    first_row: int = 0,
) -> Iterator[np.ndarray]:
    """Yields the log-probabilities `[N]` under `count` draws of the noise."""
    data = data if isinstance(data, StoredRows) else np.asarray(data)
    check_data(data, tuple(dist.event_shape), dist.levels, name=dist.name, dtype=dist.dtype)
    given = given_to_examples(dist, len(data), labels, condition)
    context = Context(seed=seed_of_noise(seed), first_row=first_row, **given)
    for draw in range(count):
        yield evaluate(
            dist,
            "log_prob",
            dist.log_prob_in,
            data,
            context.replace(draw=draw),
            rows_at_once=rows_at_once,
            progress=progress,
        )


def seed_of_noise(seed: Any) -> tf.Tensor:
    """Returns the stateless seed of draws of noise.

    Raises:
        ValueError: there is none.
    """
    if seed is None:
        raise ValueError("Draws of noise are made from a seed, an int or two, got None.")
    return stateless_seed(seed)
