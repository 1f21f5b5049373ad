"""Attributes as directions in latent space: more or less of what tells two groups apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfp_realnvp.core.data_checks import given_to_examples
from tfp_realnvp.flow import Flow
from tfp_realnvp.uses.latents import decode, encode, repeated


def attribute_direction(
    dist: Flow,
    having: Any,
    lacking: Any,
    *,
    having_labels: Any = None,
    lacking_labels: Any = None,
    having_condition: Any = None,
    lacking_condition: Any = None,
) -> np.ndarray:
    """Returns the mean latent of one group minus that of another (arXiv:1807.03039, section 6.2).

    Args:
        dist: a flow.
        having: `[N, *event]` examples with an attribute.
        lacking: `[M, *event]` examples without.
        having_labels: labels of the first, for class-conditional flows.
        lacking_labels: labels of the second.
        having_condition: condition of the first, for flows with one.
        lacking_condition: condition of the second.

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
    for data, labels, condition in (
        (having, having_labels, having_condition),
        (lacking, lacking_labels, lacking_condition),
    ):
        if not np.size(data):
            raise ValueError("A direction needs examples with and without the attribute, got none.")
        groups.append(encode(dist, data, labels, condition=condition).mean(0))
    return groups[0] - groups[1]


def move(
    dist: Flow,
    data: Any,
    direction: Any,
    *,
    strengths: Sequence[float] = (-1.0, -0.5, 0.0, 0.5, 1.0),
    labels: Any = None,
    condition: Any = None,
) -> np.ndarray:
    """Moves examples along a direction in latent space.

    Args:
        dist: a flow.
        data: `[N, *event]` examples.
        direction: `[D]`, such as `attribute_direction` gives.
        strengths: how far, `[S]`; at 0 the example itself comes back, every pixel of it.
        labels: `[N]`, or one for all, for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.

    Returns:
        `[N, S, *event]`.

    Raises:
        ValueError: a direction of another size, one or strengths that are not finite, or bad data.
    """
    latents = encode(dist, data, labels, condition=condition)
    direction = np.asarray(direction, latents.dtype)
    if direction.shape != latents.shape[1:]:
        raise ValueError(
            f"A direction for {dist.name} has shape {latents.shape[1:]}, got {direction.shape}."
        )
    steps = np.asarray(strengths, latents.dtype)
    if steps.ndim != 1 or not np.isfinite(steps).all():
        raise ValueError(f"Strengths are finite numbers [S], got {strengths}.")
    moved = latents[:, None] + steps[:, None] * direction
    given = repeated(given_to_examples(dist, len(latents), labels, condition), len(steps))
    result = decode(dist, moved.reshape(-1, latents.shape[1]), **given)
    return result.reshape(len(latents), len(steps), *result.shape[1:])
