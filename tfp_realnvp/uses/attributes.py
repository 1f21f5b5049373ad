"""Attributes as directions in latent space: more or less of what tells two groups apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.latents import decode, encode


def attribute_direction(
    dist: Flow,
    having: Any,
    lacking: Any,
    *,
    having_labels: Any = None,
    lacking_labels: Any = None,
) -> np.ndarray:
    """Returns the mean latent of one group minus that of another (arXiv:1807.03039, section 6.2).

    Args:
        dist: a flow.
        having: `[N, *event]` examples with an attribute.
        lacking: `[M, *event]` examples without.
        having_labels: labels of the first, for class-conditional flows.
        lacking_labels: labels of the second.

    Returns:
        A direction `[D]` in latent space.

    Raises:
        ValueError: an empty group, or bad data.

    Example:
        >>> import tfp_realnvp as nvp
        >>> images, labels = nvp.datasets.load_arrays("digits", "test")
        >>> dist = nvp.flows.build("uva_simple", (8, 8, 1), levels=17)
        >>> round_ones = nvp.attribute_direction(dist, images[labels == 0], images[labels == 1])
        >>> nvp.move(dist, images[:2], round_ones, strengths=[0.0, 0.5]).shape
        (2, 2, 8, 8, 1)
    """
    groups = []
    for data, labels in ((having, having_labels), (lacking, lacking_labels)):
        if not np.size(data):
            raise ValueError("A direction needs examples with and without the attribute, got none.")
        groups.append(encode(dist, data, labels).mean(0))
    return groups[0] - groups[1]


def move(
    dist: Flow,
    data: Any,
    direction: Any,
    *,
    strengths: Sequence[float] = (-1.0, -0.5, 0.0, 0.5, 1.0),
    labels: Any = None,
) -> np.ndarray:
    """Moves examples along a direction in latent space.

    Args:
        dist: a flow.
        data: `[N, *event]` examples.
        direction: `[D]`, such as `attribute_direction` gives.
        strengths: how far, `[S]`; at 0 the example itself comes back, every pixel of it.
        labels: `[N]`, or one for all, for class-conditional flows.

    Returns:
        `[N, S, *event]`.

    Raises:
        ValueError: a direction of another size, one or strengths that are not finite, or bad data.
    """
    latents = encode(dist, data, labels)
    direction = np.asarray(direction, latents.dtype)
    if direction.shape != latents.shape[1:]:
        raise ValueError(
            f"A direction for {dist.name} has shape {latents.shape[1:]}, got {direction.shape}."
        )
    steps = np.asarray(strengths, latents.dtype)
    if steps.ndim != 1 or not np.isfinite(steps).all():
        raise ValueError(f"Strengths are finite numbers [S], got {strengths}.")
    moved = latents[:, None] + steps[:, None] * direction
    if labels is not None and np.ndim(labels):
        labels = np.repeat(labels, len(steps))
    result = decode(dist, moved.reshape(-1, latents.shape[1]), labels)
    return result.reshape(len(latents), len(steps), *result.shape[1:])
