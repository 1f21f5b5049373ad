"""Checks of data: integer images in range, labels, conditions, vectors, in one sentence each.

Functions called `check_...` look at values where there are any and raise `ValueError`; those
called `asserted_...` put the same check into a graph.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core.stored import StoredRows, parts_of

if TYPE_CHECKING:
    from tfp_realnvp.flow import Flow

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


def check_condition(condition: Any, shape: tuple[int | None, ...] | None, *, name: str) -> None:
    """Checks that a condition is there where there has to be one, and finite.

    Args:
        condition: numbers `[..., *shape]`; None for none.
        shape: of the condition of one row, with None for sides that are free; None if the flow has
            none.
        name: name of the flow, for the message.

    Raises:
        ValueError: a condition that is missing or uncalled for, no real numbers, or NaN or
            infinite where values can be looked at.
    """
    if shape is None:
        if condition is not None:
            raise ValueError(f"{name} has no condition_shape, but a condition was given.")
        return
    if condition is None:
        raise ValueError(
            f"{name} is conditional on a condition of shape {shape}: give one, for example "
            "log_prob(x, bijector_kwargs={'condition': c})."
        )
    values = _values(condition)
    if values is not None:
        _check_finite(values, "the condition", None)


def condition_of_examples(
    condition: Any, shape: tuple[int | None, ...] | None, count: int, *, name: str
) -> np.ndarray | None:
    """Returns one condition for each example, `[count, *shape]`, or None of none.

    Args:
        condition: `[count, *shape]`, or one for all.
        shape: of the condition of one example; None if the flow has none.
        count: number of examples.
        name: name of the flow, for the message.

    Raises:
        ValueError: see `check_condition`; or a condition of another shape.
    """
    check_condition(condition, shape, name=name)
    if shape is None:
        return None
    values = np.asarray(condition)
    own = tf.TensorShape(values.shape)
    if own.is_compatible_with(shape):
        return np.broadcast_to(values, (count, *values.shape))
    if not own.is_compatible_with((count, *shape)):
        raise ValueError(
            f"{name} needs a condition of shape {shape} for each of {count} examples, or for all, "
            f"got one of shape {values.shape}."
        )
    return values


def given_to_examples(
    dist: Flow, count: int, labels: Any = None, condition: Any = None
) -> dict[str, Any]:
    """Returns what a context of arrays holds: a label and a condition for each example.

    Args:
        dist: a flow.
        count: number of examples.
        labels: `[count]`, or one for all, for class-conditional flows.
        condition: `[count, *condition_shape]`, or one for all, for flows with a condition.

    Raises:
        ValueError: labels or a condition missing or uncalled for, or others than fit.
    """
    name = dist.name.rstrip("/")
    return {
        "labels": labels_of_examples(labels, dist.num_classes, count, name=name),
        "condition": condition_of_examples(condition, dist.condition_shape, count, name=name),
    }


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


def asserted_vectors(vectors: tf.Tensor, dtype: Any, what: str = "vectors") -> tf.Tensor:
    """Returns vectors in a dtype, which a graph checks to be finite in it, when it runs."""
    vectors = tf.cast(vectors, dtype)
    finite = tf.reduce_all(tf.math.is_finite(vectors))
    return asserted(vectors, finite, f"{what} must be finite in {vectors.dtype.name}.")


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
    return asserted(weights, valid, _WEIGHTS + ".")


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
        r"\b(images|labels|vectors|the condition|sample weights) must \S[^\n]*?\.(?=\W|$)",
        str(error),
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
    if levels is not None and isinstance(data, StoredRows) and _always_valid(data.dtype, levels):
        return
    for part in parts_of(data):
        if levels is None:
            check_finite(part, dtype)
        else:
            check_pixels(part, levels)


def check_finite(vectors: Any, dtype: Any = None) -> None:
    """Checks that vectors are finite where their values can be looked at.

    Args:
        vectors: any numeric array or tensor.
        dtype: in which they must be finite; None for their own.

    Raises:
        ValueError: they are no real numbers, NaN or infinite, or too large for the dtype.
    """
    values = _values(vectors)
    if values is not None:
        _check_finite(values, "vectors", dtype)


def _check_finite(values: np.ndarray, what: str, dtype: Any) -> None:
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool or _is_small(values)):
        raise ValueError(f"{what} must be numbers, got an array of dtype {values.dtype}.")
    if np.iscomplexobj(values):
        raise ValueError(f"{what} must be real numbers, got an array of dtype {values.dtype}.")
    values = values.astype(np.float64)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"{what} must be finite, got {bad} NaN or infinite values.")
    if dtype is not None and values.size:
        largest = values.flat[np.abs(values).argmax()]
        if abs(largest) > tf.as_dtype(dtype).max:
            name = tf.as_dtype(dtype).name
            raise ValueError(f"{what} must be finite in {name}, got the value {largest:g}.")


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
    return asserted(values, tf.reduce_all(valid), _expected(what, limit) + ".")


def asserted(value: tf.Tensor, holds: tf.Tensor, sentence: str) -> tf.Tensor:
    """Returns a value, which a graph that finds that something does not hold fails to give."""
    check = tf.debugging.Assert(holds, [sentence])
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(value)


def _is_small(values: np.ndarray) -> bool:
    # bfloat16 and float8 are numbers of extensions of NumPy, without its names.
    return values.dtype.kind == "V" and values.dtype.name in {"bfloat16"}
