"""Checks of data: integer images in range, labels, finite vectors, in one sentence each.

Functions called `check_...` look at values where there are any and raise `ValueError`; those
called `asserted_...` put the same check into a graph.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import tensor_util

_WEIGHTS = "sample weights must be finite, not negative, and one for each example"


def check_pixels(images: Any, levels: int) -> None:
    """Checks integer images where their values can be looked at; symbolic tensors pass.

    Raises:
        ValueError: NaN, fractions, or values outside `0 .. levels - 1`.
    """
    values = _values(images)
    if values is not None and not _always_valid(values.dtype, levels):
        _check_integers(values, levels, "images")


def check_labels(
    labels: Any,
    num_classes: int | None,
    count: int | None = None,
    *,
    name: str,
) -> None:
    """Checks class labels as far as they can be looked at.

    Args:
        labels: `[N]`, `[N, 1]`, or one for all; None for none.
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
    if count is not None and values.shape not in ((), (count,), (count, 1)):
        raise ValueError(
            f"{name} needs one label for each of {count} examples, got labels of shape "
            f"{values.shape}."
        )
    _check_integers(values, num_classes, "labels")


def labels_of_examples(
    labels: Any, num_classes: int | None, count: int, *, name: str
) -> np.ndarray | None:
    """Returns one label for each example, `[count]`, or None of none; see `check_labels`."""
    check_labels(labels, num_classes, count, name=name)
    if labels is None:
        return None
    values = np.asarray(labels)
    return np.broadcast_to(values.reshape(values.shape[:1]), [count])


def labels_of_rows(labels: Any, batch: tf.Tensor, *, name: str) -> tf.Tensor:
    """Returns one label for each row of a batch, flat.

    Args:
        labels: integers of the shape of the batch, of its last dimensions, of either with a last
            dimension of 1 more, or one for all.
        batch: shape of the batch, int32 `[ndims]`.
        name: name of the flow, for the message.

    Returns:
        int32 `[N]`, N the product of the batch's sides.

    Raises:
        ValueError: labels of another shape.
        tf.errors.InvalidArgumentError: in a graph, where shapes are known when it runs.
    """
    labels = tf.convert_to_tensor(labels)
    static = tensor_util.constant_value_as_shape(batch)

    def fits(shape: tf.TensorShape) -> bool:
        rank = len(shape)
        return rank <= len(static) and static[len(static) - rank :].is_compatible_with(shape)

    expected = (
        f"labels must be one for each row of a batch of shape {tuple(static)}, or one for all"
    )
    if not fits(labels.shape) and len(labels.shape) > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if not fits(labels.shape):
        raise ValueError(f"{name}: {expected}; got labels of shape {tuple(labels.shape)}.")
    own = batch[len(static) - len(labels.shape) :]
    if not (labels.shape.is_fully_defined() and static.is_fully_defined()) and len(labels.shape):
        same = tf.reduce_all(tf.equal(tf.shape(labels), own))
        labels = _asserted(labels, same, expected + ".")
    return tf.reshape(tf.broadcast_to(tf.cast(labels, tf.int32), batch), [-1])


def asserted_pixels(images: tf.Tensor, levels: int) -> tf.Tensor:
    """Returns images that a graph checks as `check_pixels` does, when it runs."""
    if images.dtype == tf.bool:
        return tf.cast(images, tf.uint8)
    if _always_valid(images.dtype.as_numpy_dtype, levels):
        return images
    return _asserted_integers(images, levels, "images")


def asserted_labels(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Returns labels that a graph checks to lie in `0 .. num_classes - 1`, when it runs."""
    return _asserted_integers(labels, num_classes, "labels")


def asserted_vectors(vectors: tf.Tensor, dtype: Any) -> tf.Tensor:
    """Returns vectors in a dtype, which a graph checks to be finite in it, when it runs."""
    vectors = tf.cast(vectors, dtype)
    finite = tf.reduce_all(tf.math.is_finite(vectors))
    return _asserted(vectors, finite, f"vectors must be finite in {vectors.dtype.name}.")


def asserted_weights(weights: tf.Tensor, count: tf.Tensor, dtype: Any) -> tf.Tensor:
    """Returns sample weights `[N]` in a dtype, which a graph checks when it runs.

    Args:
        weights: `[N]` or `[N, 1]`.
        count: N, int32.
        dtype: of the result.

    Raises:
        ValueError: weights of another rank.
    """
    weights = tf.cast(weights, dtype)
    if weights.shape.rank == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    if weights.shape.rank != 1:
        raise ValueError(f"{_WEIGHTS}, got weights of shape {tuple(weights.shape)}.")
    valid = tf.reduce_all((weights >= 0) & tf.math.is_finite(weights))
    valid &= tf.equal(tf.shape(weights)[0], count)
    return _asserted(weights, valid, _WEIGHTS + ".")


def check_weights(weights: Any, count: int) -> None:
    """Checks sample weights that can be looked at.

    Raises:
        ValueError: they are not finite, negative, or not one for each example.
    """
    values = np.asarray(weights)
    if values.shape not in ((count,), (count, 1)):
        raise ValueError(f"{_WEIGHTS}, got weights of shape {values.shape} for {count} examples.")
    values = values.astype(np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"{_WEIGHTS}, got values from {values.min()} to {values.max()}.")
    if not values.any():
        raise ValueError(f"{_WEIGHTS}, got zeros alone.")


def failed_check(error: Exception) -> str | None:
    """Returns the sentence of a check in a graph that failed, or None of another error."""
    found = re.search(
        r"\b(images|labels|vectors|sample weights) must \S[^\n]*?\.(?=\W|$)", str(error)
    )
    return found.group() if found else None


def check_data(
    data: Any,
    event_shape: tuple[int, ...],
    levels: int | None,
    *,
    name: str,
    dtype: Any = None,
) -> None:
    """Checks shape and values of a batch, as far as they can be looked at.

    Args:
        data: `[N, *event]` images or vectors.
        event_shape: the event shape that the flow was built for.
        levels: number of integer levels of images; None for vectors.
        name: name of the flow, for the message.
        dtype: the flow's dtype, in which vectors must be finite; None for their own.

    Raises:
        ValueError: another shape, NaN, or pixels that are not integers in range.
    """
    check_event_shape(data.shape, event_shape, name)
    if levels is None:
        check_finite(data, dtype)
    else:
        check_pixels(data, levels)


def check_finite(vectors: Any, dtype: Any = None) -> None:
    """Checks that vectors are finite where their values can be looked at.

    Args:
        vectors: any numeric array or tensor.
        dtype: in which they must be finite; None for their own.

    Raises:
        ValueError: they are no real numbers, NaN or infinite, or too large for the dtype.
    """
    values = _values(vectors)
    if values is None:
        return
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool or _is_small(values)):
        raise ValueError(f"vectors must be numbers, got an array of dtype {values.dtype}.")
    if np.iscomplexobj(values):
        raise ValueError(f"vectors must be real numbers, got an array of dtype {values.dtype}.")
    values = values.astype(np.float64)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"vectors must be finite, got {bad} NaN or infinite values.")
    if dtype is not None and values.size:
        largest = values.flat[np.abs(values).argmax()]
        if abs(largest) > tf.as_dtype(dtype).max:
            name = tf.as_dtype(dtype).name
            raise ValueError(f"vectors must be finite in {name}, got the value {largest:g}.")


def check_event_shape(shape: Any, event_shape: tuple[int, ...], name: str) -> None:
    """Checks the shape `[N, *event]` of a batch, possibly partially known, for the flow `name`.

    Raises:
        ValueError: another event shape.
    """
    shape = tuple(shape)
    if not tf.TensorShape(shape[1:]).is_compatible_with(event_shape):
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
    # In a dtype that holds the limit: 255 is -1 in int8, and 256 in bfloat16.
    wide = tf.cast(values, tf.float64 if values.dtype.is_floating else tf.int64)
    valid = (wide >= 0) & (wide < limit)
    if values.dtype.is_floating:  # NaN fails every comparison
        valid &= tf.equal(tf.floor(wide), wide)
    return _asserted(values, tf.reduce_all(valid), _expected(what, limit) + ".")


def _asserted(value: tf.Tensor, holds: tf.Tensor, sentence: str) -> tf.Tensor:
    check = tf.debugging.Assert(holds, [sentence])
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(value)


def _is_small(values: np.ndarray) -> bool:
    # bfloat16 and float8 are numbers of extensions of NumPy, without its names.
    return values.dtype.kind == "V" and values.dtype.name in {"bfloat16"}
