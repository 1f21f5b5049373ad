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
from tfp_realnvp.core.data_checks import check_data, labels_of_examples
from tfp_realnvp.execution.chunks import map_chunks, rows_of_chunk
from tfp_realnvp.execution.graphs import traced
from tfp_realnvp.flow import Flow

# Examples evaluated at once; bounds memory.
ROWS_AT_ONCE = 256


def log_prob(
    dist: Flow,
    data: Any,
    labels: Any = None,
    *,
    num_importance_samples: int = 1,
    seed: Any = 0,
    rows_at_once: int = ROWS_AT_ONCE,
    progress: Callable[[int], None] | None = None,
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
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.
        rows_at_once: examples evaluated at once.
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
    results = []
    chunks = _noise_draws(
        dist, data, labels, num_importance_samples, seed, rows_at_once, progress=progress
    )
    for draws in chunks:
        # One sample of the noise at a time: memory does not grow with k.
        results.append(functools.reduce(np.logaddexp, draws) - math.log(num_importance_samples))
    return np.concatenate(results) if results else np.zeros([0], dist.dtype.as_numpy_dtype)


def bits_per_dim(
    dist: Flow,
    images: Any,
    labels: Any = None,
    num_importance_samples: int = 8,
    seed: Any = 0,
    *,
    rows_at_once: int = ROWS_AT_ONCE,
) -> np.ndarray:
    """Returns `-log2 P(image) / D` per image, by importance sampling; see `log_prob`.

    Args:
        dist: a flow of images.
        images: `[N, H, W, C]` integers.
        labels: `[N]` for class-conditional flows.
        num_importance_samples: samples of the dequantization noise.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.
        rows_at_once: examples evaluated at once.

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
    num_importance_samples: int = 64,
    seed: Any = 0,
    rows_at_once: int = ROWS_AT_ONCE,
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
        num_importance_samples: K, a power of two.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.
        rows_at_once: examples evaluated at once.

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
    counts = 2 ** np.arange(total.bit_length())
    chunks = [np.zeros([len(counts), 0])]
    for draws in _noise_draws(dist, images, labels, total, seed, rows_at_once):
        samples = np.stack(list(draws)).astype(np.float64)
        groups = [samples.reshape(total // k, k, -1) for k in counts]
        nats = [(np.logaddexp.reduce(g, axis=1) - math.log(g.shape[1])).mean(0) for g in groups]
        chunks.append(np.stack(nats))
    return counts, (-np.concatenate(chunks, 1) / nats_per_unit(dist)).astype(np.float32)


def nats_per_unit(dist: Flow) -> float:
    """Returns what to divide nats by: `D ln 2` for images, 1 for vectors."""
    if dist.levels is None:
        return 1.0
    return math.prod(dist.event_shape.as_list()) * math.log(2)


def _check_samples(count: Any) -> int:
    return arguments.whole("A likelihood", "num_importance_samples", count)


def noise_seeds(seed: Any) -> Callable[[int], tf.Tensor]:
    """Returns the stateless seed of each draw of noise, which is counted in its second number.

    Args:
        seed: an int s, for the draws `(s, 0)`, `(s, 1)` and so on, or the seed of the first draw.

    Raises:
        ValueError: something else.
    """
    given = stateless_seed(seed)
    if given is None:
        raise ValueError("Draws of noise are counted from a seed, an int or two, got None.")
    words = given.numpy().astype(np.int64)
    first = words if np.ndim(seed) else words[::-1]
    return lambda index: tf.constant((first + np.array([0, index])).astype(np.int32))


def _require_images(dist: Flow) -> None:
    if dist.levels is None:
        raise ValueError(f"Bits per dimension are of integer images; {dist.name} has vectors.")


def _noise_draws(
    dist: Flow,
    data: Any,
    labels: Any,
    count: int,
    seed: Any,
    rows_at_once: int,
    *,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Iterator[np.ndarray]]:
    """Yields for each chunk of the data its log-probabilities under `count` draws of the noise."""
    data = np.asarray(data)
    check_data(data, tuple(dist.event_shape), dist.levels, name=dist.name, dtype=dist.dtype)
    labels = labels_of_examples(labels, dist.num_classes, len(data), name=dist.name)
    evaluate = traced(dist, "log_prob", _log_prob)
    chunk = arguments.whole("A likelihood", "rows_at_once", rows_at_once)
    seeds = noise_seeds(seed)

    def draws(start: int) -> Iterator[np.ndarray]:
        rows = tf.convert_to_tensor(data[start : start + chunk])
        chunk_labels = None if labels is None else labels[start : start + chunk]

        def draw(k: int) -> np.ndarray:
            result = evaluate(rows, seeds(start * count + k), chunk_labels).numpy()
            if progress is not None:
                progress(len(result))
            return result

        return map(draw, range(count))

    return (draws(start) for start in range(0, len(data), chunk))


def log_prob_graph(
    dist: Flow, data: tf.Tensor, context: Context, labels: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns `dist.log_prob_in` of data with labels in a graph, images in chunks.

    The value is the same where the noise is each example's own; fresh noise needs a seed, which is
    the first chunk's, and the others' are made of it.
    """

    def of_chunk(index, rows, chunk_labels):
        own = context.replace(labels=chunk_labels)
        if context.noise == "fresh":
            seed = tf.random.experimental.stateless_fold_in(context.seed, index, alg="philox")
            own = own.replace(seed=tf.where(index == 0, context.seed, seed))
        return dist.log_prob_in(rows, own)

    rows = rows_of_chunk(dist.event_shape)
    return map_chunks(
        of_chunk, [data, labels], rows=rows, dtype=dist.dtype, kernels=context.kernels
    )


def _log_prob(dist, rows, seed, labels, *, kernels):
    return log_prob_graph(dist, rows, Context(seed=seed, kernels=kernels), labels)
