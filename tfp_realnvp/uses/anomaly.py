"""Anomaly scores: likelihood, corrected for complexity or for typicality, and their AUROC."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from tfp_realnvp.core import arguments
from tfp_realnvp.core.data_checks import check_pixels
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.likelihood import log_prob, nats_per_unit

KINDS = ("likelihood", "complexity", "typicality")


def anomaly_scores(
    dist: Flow,
    data: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    kind: str = "likelihood",
    reference: Any = None,
    reference_labels: Any = None,
    reference_condition: Any = None,
    num_importance_samples: int = 1,
    seed: Any = 0,
    rows_at_once: int | None = None,
) -> np.ndarray:
    r"""Scores examples: the higher, the less like the data that the flow was trained on.

    With `c(y) = -log2 P(y) / D` in bits per dimension (vectors: `-log p(y)` in nats):

    * `"likelihood"`: `c(y)`. It fails where the other data are simpler: a flow trained on
      Fashion-MNIST gives MNIST more likelihood than its own test set (arXiv:1810.09136);
    * `"complexity"`: `c(y) - L(y) / D` with L the length of a lossless code in bits, see
      `code_length` (arXiv:1909.11480). Images only;
    * `"typicality"`: `|c(y) - H|` with H the mean of `c` over reference data: both too unlikely
      and too likely is strange (arXiv:1906.02994, for batches of one example).

    Args:
        dist: a flow.
        data: `[N, *event]` images or vectors.
        labels: `[N]`, or one for all, for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        kind: one of the three.
        reference: for `"typicality"`, examples like those that the flow was trained on.
        reference_labels: labels of the reference, for class-conditional flows.
        reference_condition: condition of the reference, for flows with one.
        num_importance_samples: samples of the dequantization noise.
        seed: seed of the noise, an int or a stateless int32 `[2]` seed.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.

    Returns:
        `[N]` float64.

    Raises:
        ValueError: an unknown kind, no reference for typicality, complexity of vectors; bad data,
            labels, numbers or seed.

    Example:
        >>> import tfp_realnvp as nvp
        >>> digits, _ = nvp.datasets.load_arrays("digits", "test")
        >>> dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17)
        >>> nvp.anomaly_scores(dist, digits[:5], kind="complexity").shape
        (5,)
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
    if (kind == "typicality") != (reference is not None):
        raise ValueError('kind="typicality" needs reference data, and no other kind does.')
    if reference is not None and not len(reference):
        raise ValueError('kind="typicality" needs at least one reference example, got none.')
    if kind == "complexity" and dist.levels is None:
        raise ValueError(f"Complexity is that of integer images; {dist.name} has vectors.")

    def cost(examples: Any, labels: Any, condition: Any) -> np.ndarray:
        nats = log_prob(
            dist,
            examples,
            labels,
            condition=condition,
            num_importance_samples=num_importance_samples,
            seed=seed,
            rows_at_once=rows_at_once,
        )
        return -nats.astype(np.float64) / nats_per_unit(dist)

    scores = cost(data, labels, condition)
    if kind == "complexity":
        size = int(np.prod(dist.event_shape))
        return scores - code_length(data, levels=dist.levels or 256) / size
    if kind == "typicality":
        return np.abs(scores - cost(reference, reference_labels, reference_condition).mean())
    return scores


def code_length(images: Any, *, levels: int = 256) -> np.ndarray:
    """Returns the length of a lossless code of each image, in bits.

    The code is that of PNG: each pixel minus a prediction from its neighbours, deflated. One
    prediction serves a whole image, whichever of four makes the shortest code: none, left, up, or
    left + up - corner (the minimum over compressors is arXiv:1909.11480's ensemble).

    Args:
        images: `[N, H, W, C]` integers in `0 .. levels - 1`.
        levels: number of levels, at most 65,536.

    Returns:
        `[N]` float64.

    Raises:
        ValueError: images of another rank or with other values, or more levels than two bytes
            hold.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.uses.anomaly import code_length
        >>> noise = np.random.default_rng(0).integers(0, 256, [1, 32, 32, 1])
        >>> bool(code_length(noise) > 32 * 32 * 8 > 50 * code_length(noise * 0))
        True
    """
    if arguments.whole("code_length", "levels", levels, least=2) > 2**16:
        raise ValueError(f"The code is for at most 65,536 levels, got {levels}.")
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"The code is for images [N, H, W, C], got shape {images.shape}.")
    check_pixels(images, levels)
    images = images.astype(np.int64)
    dtype = np.uint8 if levels <= 256 else np.dtype("<u2")
    padded = np.pad(images, [(0, 0), (1, 0), (1, 0), (0, 0)])
    left, up, corner = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]
    predictions = [np.zeros_like(images), left, up, left + up - corner]
    residuals = np.stack([(images - p) % levels for p in predictions], 1).astype(dtype)
    shortest = [min(len(zlib.compress(r.tobytes(), 9)) for r in image) for image in residuals]
    return 8.0 * np.asarray(shortest, np.float64)


def auroc(ordinary: Any, strange: Any) -> float:
    """Returns the area under the ROC curve of scores: how well they tell two sets apart.

    It is the probability that a strange example scores higher than an ordinary one, ties counting
    half: 1 is perfect, 0.5 chance, and below 0.5 the scores mislead.

    Args:
        ordinary: scores `[N]` of data like the training data.
        strange: scores `[M]` of others.

    Raises:
        ValueError: no scores, or NaN among them.

    Example:
        >>> import tfp_realnvp as nvp
        >>> nvp.auroc([1.0, 2.0, 3.0], [2.0, 4.0])
        0.75
    """
    ordinary, strange = (np.ravel(np.asarray(x, np.float64)) for x in (ordinary, strange))
    if not (ordinary.size and strange.size):
        raise ValueError("AUROC needs scores of both kinds.")
    if np.isnan(ordinary).any() or np.isnan(strange).any():
        raise ValueError("AUROC needs scores, got NaN.")
    ordinary = np.sort(ordinary)
    # Of the ordinary ones, how many lie below each strange one, and how many at most there.
    below, up_to = (np.searchsorted(ordinary, strange, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * ordinary.size))
