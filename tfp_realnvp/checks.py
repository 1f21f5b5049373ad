"""Checks of data: integer images in range, finite vectors, in one sentence each."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def check_pixels(images: Any, levels: int) -> None:
    """Checks integer images where their values can be looked at; symbolic tensors pass.

    Args:
        images: any numeric array or tensor.
        levels: number of integer levels.

    Raises:
        ValueError: NaN, fractions, or values outside `0 .. levels - 1`.
    """
    if tf.is_tensor(images):
        if not hasattr(images, "numpy"):
            return
        images = images.numpy()
    values = np.asarray(images)
    if values.size == 0 or (values.dtype == np.uint8 and levels >= 256):
        return
    expected = f"images must hold integers from 0 to {levels - 1}"
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise ValueError(f"{expected}, got an array of dtype {values.dtype}.")
    if not np.issubdtype(values.dtype, np.integer) and values.dtype != bool:
        if not np.isfinite(values).all():
            raise ValueError(f"{expected}, got NaN or infinite values.")
        fractions = values != np.floor(values)
        if fractions.any():
            raise ValueError(f"{expected}, got the fraction {values[fractions].flat[0]}.")
    low, high = values.min(), values.max()
    if low < 0 or high >= levels:
        raise ValueError(f"{expected}, got values from {low} to {high}.")


def check_data(data: Any, event_shape: tuple[int, ...], levels: int | None, *, name: str) -> None:
    """Checks shape and values of a batch, as far as they can be looked at.

    Args:
        data: `[N, *event]` images or vectors.
        event_shape: the event shape that the flow was built for.
        levels: number of integer levels of images; None for vectors.
        name: name of the flow, for the message.

    Raises:
        ValueError: another shape, NaN, or pixels that are not integers in range.
    """
    check_event_shape(data.shape, event_shape, name)
    if levels is None:
        check_finite(data)
    else:
        check_pixels(data, levels)


def check_finite(vectors: Any) -> None:
    """Checks that vectors are finite where their values can be looked at.

    Raises:
        ValueError: NaN or infinite values, with their number.
    """
    if tf.is_tensor(vectors):
        if not hasattr(vectors, "numpy"):
            return
        vectors = vectors.numpy()
    values = np.asarray(vectors, dtype=np.float64)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"vectors must be finite, got {bad} NaN or infinite values.")


def check_event_shape(shape: Any, event_shape: tuple[int, ...], name: str) -> None:
    """Checks the shape of a batch.

    Args:
        shape: shape of the batch `[N, *event]`, possibly partially known.
        event_shape: the event shape that the flow was built for.
        name: name of the flow, for the message.

    Raises:
        ValueError: another event shape.
    """
    shape = tuple(shape)
    event = shape[1:]
    fits = len(event) == len(event_shape) and all(
        side is None or side == expected for side, expected in zip(event, event_shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name} models events of shape {event_shape}, got a batch of shape {shape}."
        )
