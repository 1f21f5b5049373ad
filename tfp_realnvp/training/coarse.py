"""The likelihood at several resolutions, as a loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.execution.choice import rows_are_apart
from tfp_realnvp.flow import Flow


def checked_coarse(dist: Flow, weights: Sequence[float]) -> tuple[float, ...]:
    """Returns the weights of coarser images in the loss of a flow.

    Args:
        dist: a flow.
        weights: of the images at a half of the resolution, at a quarter, and so on.

    Raises:
        ValueError: a weight below 0, a flow of vectors, one of images whose sides cannot be halved
            so often, or one that normalizes by statistics of whole batches.
    """
    coarse = tuple(float(arguments.real("coarse", "a weight", w, least=0)) for w in weights)
    if not coarse:
        return ()
    if dist.levels is None:
        raise ValueError(f"coarse is for flows of images; {dist.name} has vectors.")
    if not rows_are_apart(dist):
        raise ValueError(
            f"{dist.name} normalizes by the statistics of whole batches, which coarse images would "
            f"change: it takes no coarse, got {coarse}."
        )
    height, width, _ = dist.event_shape
    block = 2 ** len(coarse)
    if height % block or width % block:
        raise ValueError(
            f"coarse={coarse} needs images with sides that {block} divides; {dist.name} has "
            f"{height}x{width}."
        )
    return coarse


def coarser(images: Any, weights: Sequence[float], *, dtype: Any) -> Iterator[tuple[float, Any]]:
    """Yields each weight that is not 0 with images of its resolution, in the size of the images.

    Each block of 2x2 pixels, then of 4x4 and so on, is its mean, rounded: integers again, whose
    probability under a flow is as true a likelihood as that of the images.

    Args:
        images: `[N, H, W, C]` integers.
        weights: of a half of the resolution, of a quarter, and so on.
        dtype: of the coarse images.

    Example:
        >>> import tensorflow as tf
        >>> from tfp_realnvp.training.coarse import coarser
        >>> images = tf.reshape(tf.constant([0, 1, 2, 4]), [1, 2, 2, 1])
        >>> weight, coarse = next(coarser(images, [0.5], dtype="float32"))
        >>> weight, coarse[0, :, :, 0].numpy().tolist()
        (0.5, [[2.0, 2.0], [2.0, 2.0]])
    """
    for number, weight in enumerate(weights, 1):
        if weight:
            side = 2**number
            means = tf.nn.avg_pool2d(tf.cast(images, dtype), side, side, "VALID")
            rows = tf.repeat(tf.round(means), side, axis=1)
            yield weight, tf.repeat(rows, side, axis=2)
