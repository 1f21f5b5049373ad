"""Checks of data: integer images in range, labels, finite vectors, in one sentence each.

Functions called `check_...` look at values where there are any and raise `ValueError`; those
called `asserted_...` put the same check into a graph.
"""

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
    values = _values(images)
    if values is not None and not _always_valid(values.dtype, levels):
        _check_integers(values, levels, "images")


def check_labels(labels: Any, num_classes: int | None, count: int | None, *, name: str) -> None:
    """Checks class labels as far as they can be looked at.

    Args:
        labels: `[N]` or one for all; None for none.
        num_classes: number of classes of the flow; None if it is not conditional.
        count: number of examples that the labels are for; None where it is not known.
        name: name of the flow, for the message.

    Raises:
        ValueError: labels missing or uncalled for, not integers in range, or not one per example.
    """
    if num_classes is None:
        if labels is not None:
            raise ValueError(f"{name} is not conditional on classes, but labels were given.")
        return
    if labels is None:
        raise ValueError(
            f"{name} is conditional on {num_classes} classes: give labels, for example "
            "log_prob(x, bijector_kwargs={'labels': y})."
        )
    values = _values(labels)
    if values is None:
        return
    if count is not None and values.shape not in ((), (count,)):
        raise ValueError(
            f"{name} needs one label for each of {count} examples, got labels of shape "
            f"{values.shape}."
        )
    _check_integers(values, num_classes, "labels")


def asserted_pixels(images: tf.Tensor, levels: int) -> tf.Tensor:
    """Returns images that a graph checks as `check_pixels` does, when it runs.

    Args:
        images: a tensor of images.
        levels: number of integer levels.
    """
    if _always_valid(images.dtype.as_numpy_dtype, levels):
        return images
    return _asserted_integers(images, levels, "images")


def asserted_labels(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Returns labels that a graph checks to lie in `0 .. num_classes - 1`, when it runs."""
    return _asserted_integers(labels, num_classes, "labels")


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
    values = _values(vectors)
    if values is None:
        return
    bad = np.count_nonzero(~np.isfinite(values.astype(np.float64)))
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


def _values(data: Any) -> np.ndarray | None:
    """Returns data as an array, or None where a graph is being traced."""
    if tf.is_tensor(data):
        return data.numpy() if hasattr(data, "numpy") else None
    return np.asarray(data)


def _always_valid(dtype: Any, levels: int) -> bool:
    return dtype == np.uint8 and levels >= 256


def _expected(what: str, limit: int) -> str:
    verb = "must hold" if what == "images" else "must be"
    return f"{what} {verb} integers from 0 to {limit - 1}"


def _check_integers(values: np.ndarray, limit: int, what: str) -> None:
    expected = _expected(what, limit)
    if values.size == 0:
        return
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise ValueError(f"{expected}, got an array of dtype {values.dtype}.")
    if not np.issubdtype(values.dtype, np.integer) and values.dtype != bool:
        if not np.isfinite(values).all():
            raise ValueError(f"{expected}, got NaN or infinite values.")
        fractions = values != np.floor(values)
        if fractions.any():
            raise ValueError(f"{expected}, got the fraction {values[fractions].flat[0]}.")
    low, high = values.min(), values.max()
    if low < 0 or high >= limit:
        raise ValueError(f"{expected}, got values from {low} to {high}.")


def _asserted_integers(values: tf.Tensor, limit: int, what: str) -> tf.Tensor:
    valid = (values >= 0) & (values <= tf.cast(limit - 1, values.dtype))
    if values.dtype.is_floating:  # NaN fails every comparison
        valid &= tf.equal(tf.floor(values), values)
    check = tf.debugging.Assert(tf.reduce_all(valid), [_expected(what, limit) + "."])
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(values)
