"""From integer images to bits per dimension: the one path of the likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.checks import check_data, check_labels
from tfp_realnvp.context import Context
from tfp_realnvp.distribution import Flow
from tfp_realnvp.tracing import traced

# Examples evaluated at once, counting each importance sample; bounds memory.
ROWS_AT_ONCE = 256


def log_prob(
    dist: Flow,
    data: Any,
    labels: Any = None,
    *,
    num_importance_samples: int = 1,
    seed: int = 0,
    rows_at_once: int = ROWS_AT_ONCE,
) -> np.ndarray:
    r"""Estimates log-probabilities in nats, chunk by chunk.

    With k importance samples of the dequantization noise,
    `log (1/k) sum_i p(y + u_i) / q(u_i | y)`: a lower bound in expectation that tightens with k.
    For continuous data k makes no difference, as there is no noise.

    Args:
        dist: a flow.
        data: `[N, *event]` images (integers) or vectors.
        labels: `[N]` for class-conditional flows.
        num_importance_samples: k.
        seed: seed of the noise.
        rows_at_once: examples times samples evaluated at once.

    Returns:
        `[N]`, in the flow's dtype.

    Raises:
        ValueError: bad data, or k < 1.
    """
    if num_importance_samples < 1:
        raise ValueError(
            f"num_importance_samples must be at least 1, got {num_importance_samples}."
        )
    data = np.asarray(data)
    check_data(data, tuple(dist.event_shape), dist.levels, name=dist.name)
    check_labels(labels, dist.num_classes, len(data), name=dist.name)
    if dist.levels is None:
        num_importance_samples = 1
    labels = None if labels is None else np.broadcast_to(np.asarray(labels), [len(data)])
    evaluate = traced(dist, "log_prob", _log_prob)
    chunk = max(1, rows_at_once)
    results = []
    for start in range(0, len(data), chunk):
        rows = tf.convert_to_tensor(data[start : start + chunk])
        chunk_labels = None if labels is None else labels[start : start + chunk]
        total: Any = None
        # One sample of the noise at a time: memory does not grow with k.
        for k in range(num_importance_samples):
            noise_seed = tf.constant([seed, start * num_importance_samples + k], tf.int32)
            value = evaluate(rows, noise_seed, chunk_labels).numpy()
            total = value if total is None else np.logaddexp(total, value)
        results.append(total - math.log(num_importance_samples))
    return np.concatenate(results) if results else np.zeros([0], dist.dtype.as_numpy_dtype)


def bits_per_dim(
    dist: Flow,
    images: Any,
    labels: Any = None,
    num_importance_samples: int = 8,
    seed: int = 0,
    *,
    rows_at_once: int = ROWS_AT_ONCE,
) -> np.ndarray:
    """Returns `-log2 P(image) / D` per image, by importance sampling; see `log_prob`.

    Args:
        dist: a flow of images.
        images: `[N, H, W, C]` integers.
        labels: `[N]` for class-conditional flows.
        num_importance_samples: samples of the dequantization noise.
        seed: seed of the noise.
        rows_at_once: examples evaluated at once.

    Returns:
        `[N]` float32, bits per dimension.

    Raises:
        ValueError: bad images, or a flow of continuous data.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17)
        >>> nvp.bits_per_dim(dist, np.zeros([3, 8, 8, 1], "uint8")).shape
        (3,)
    """
    if dist.levels is None:
        raise ValueError(f"Bits per dimension are of integer images; {dist.name} has vectors.")
    nats = log_prob(
        dist,
        images,
        labels,
        num_importance_samples=num_importance_samples,
        seed=seed,
        rows_at_once=rows_at_once,
    )
    return (-nats / nats_per_unit(dist)).astype(np.float32)


def nats_per_unit(dist: Flow) -> float:
    """Returns what to divide nats by: `D ln 2` for images, 1 for vectors."""
    if dist.levels is None:
        return 1.0
    return math.prod(dist.event_shape.as_list()) * math.log(2)


def _log_prob(dist, rows, seed, labels):
    return dist.log_prob_in(rows, Context(seed=seed, labels=labels))
