"""Checks of what constructors and flows are given, in one sentence each.

In all of them `owner` and `name` say, for the message, who was given the value, and as what.
"""

from __future__ import annotations

import math
import numbers
import re
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def whole(
    owner: str, name: str, value: Any, *, least: int | None = 1, most: int | None = None
) -> int:
    """Returns a whole number within limits, such as a count or a size.

    Raises:
        ValueError: it is not a whole number, or beyond a limit.

    Example:
        >>> from tfp_realnvp.core.arguments import whole
        >>> whole("ResNet", "width", 2.5)
        Traceback (most recent call last):
        ...
        ValueError: ResNet needs width to be a whole number of at least 1, got 2.5.
    """
    fits = (
        _is_whole(value) and (least is None or value >= least) and (most is None or value <= most)
    )
    if not fits:
        limits = [
            f" of at {word} {limit}"
            for word, limit in (("least", least), ("most", most))
            if limit is not None
        ]
        expected = "a whole number" + " and".join(limits)
        raise ValueError(f"{owner} needs {name} to be {expected}, got {value!r}.")
    return int(value)


def real(
    owner: str,
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
) -> float:
    """Returns a finite number within limits.

    Raises:
        ValueError: it is no finite number, or beyond a limit.
    """
    fits = (
        _is_real(value)
        and math.isfinite(value)
        and (above is None or value > above)
        and (least is None or value >= least)
        and (below is None or value < below)
    )
    if not fits:
        limits = [
            f"{word} {limit:g}"
            for word, limit in (("above", above), ("of at least", least), ("below", below))
            if limit is not None
        ]
        expected = " ".join(["a finite number", " and ".join(limits)]).rstrip()
        raise ValueError(f"{owner} needs {name} to be {expected}, got {value!r}.")
    return value


def interval(owner: str, low: Any, high: Any) -> tuple[float, float]:
    """Returns the ends of an interval.

    Raises:
        ValueError: they or their distance are no finite numbers, or the wrong way round.
    """
    real(owner, "low", low)
    real(owner, "high", high)
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(f"{owner} needs low < high, a finite distance apart, got [{low}, {high}].")
    return low, high


def widths(
    owner: str, name: str, value: Any, *, count: int | None = None, least: int = 0
) -> tuple[int, ...]:
    """Returns the widths of layers or networks, `count` of them, or `least` and more.

    Raises:
        ValueError: they are no sequence of positive whole numbers, or too few or too many.
    """
    found = _sequence(value)
    fits = found is not None and len(found) >= least and count in (None, len(found))
    if found is None or not fits:
        many = f"{count} " if count is not None else f"at least {least} " if least else ""
        raise ValueError(
            f"{owner} needs {name} to be a sequence of {many}positive whole numbers, got {value!r}."
        )
    return found


def instance(owner: str, name: str, value: Any, kind: type) -> Any:
    """Returns an instance of a class, such as a partition or a flag.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{owner} needs {name} to be {article} {kind.__name__}, got {value!r}.")
    return value


def scope_name(owner: str, value: Any) -> str:
    """Returns a name that TensorFlow takes for a scope.

    Raises:
        TypeError: it is no text.
        ValueError: it is empty, or has other characters.
    """
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", instance(owner, "name", value, str)):
        raise ValueError(
            f"{owner} needs name to be letters, digits and underscores from a letter on, got "
            f"{value!r}."
        )
    return value


def event_shape(value: Any) -> tuple[int, ...]:
    """Returns the shape of an event.

    Raises:
        ValueError: it is no sequence of positive whole numbers.
    """
    sides = _sequence(value)
    if sides is None:
        raise ValueError(f"An event shape has positive whole sides, got {value!r}.")
    return sides


def condition_shape(
    value: Any, event_shape: tuple[int, ...], *, encoder: Any = None
) -> tuple[int, ...] | None:
    """Returns the shape of a condition of events of a shape: `(K,)`, or of images `(H, W, K)`.

    Args:
        value: the shape; None for what the encoder says, or for none.
        event_shape: of the events.
        encoder: the Keras model that makes the condition, or None.

    Raises:
        TypeError: the encoder is no Keras model.
        ValueError: the shape is neither, or has other sides than the image; or the encoder does
            not know the shapes of its one input and its one output, or makes others.
    """
    if encoder is not None:
        made = _encoder_output(encoder)
        if value is not None and tuple(value) != made:
            raise ValueError(
                f"A flow needs an encoder to conditions of shape {tuple(value)}, got one to {made}."
            )
        value = made
    if value is None:
        return None
    image, shape = len(event_shape) == 3, _sequence(value)
    if shape is not None and (
        len(shape) == 1 or (image and len(shape) == 3 and shape[:2] == event_shape[:2])
    ):
        return shape
    kinds = "(K,)" + (f" or ({event_shape[0]}, {event_shape[1]}, K)" if image else "")
    raise ValueError(
        f"A flow of events of shape {event_shape} takes a condition_shape {kinds}, got {value!r}."
    )


def _encoder_output(encoder: Any) -> tuple[int, ...]:
    instance("A flow", "encoder", encoder, keras.Model)
    shapes = [getattr(encoder, name, None) for name in ("input_shape", "output_shape")]
    made = shapes[1][1:] if isinstance(shapes[1], tuple) else ()
    if not (isinstance(shapes[0], tuple) and made and _sequence(made)):
        raise ValueError(
            "A flow needs an encoder that knows the shapes of its one input and its one output, as "
            f"keras.Input gives them; got {encoder.name} with {shapes[0]} and {shapes[1]}."
        )
    return made


def sample_shape(shape: Any) -> None:
    """Checks the shape of samples, where it can be looked at.

    Raises:
        ValueError: a side is no whole number of at least 0.
    """
    known = tf.get_static_value(shape) if tf.is_tensor(shape) else shape
    try:
        sides = np.asarray(known)
    except NotImplementedError:  # a side is a symbolic tensor
        return
    if known is None:
        return
    if sides.size and (sides.dtype.kind not in "iu" or (sides < 0).any()):
        raise ValueError(f"A sample shape has whole sides of at least 0, got {shape}.")


def flow_dtype(value: Any) -> str:
    """Returns the name of the dtype of a flow's arithmetic.

    Raises:
        ValueError: it is neither float32 nor float64.
    """
    for dtype in (tf.float32, tf.float64):
        if value in (dtype, dtype.name, dtype.as_numpy_dtype):
            return dtype.name
    raise ValueError(f"A flow computes in float32 or float64, got dtype {value!r}.")


def dtype_policy(value: Any) -> Any:
    """Returns a Keras dtype policy of floating numbers.

    Raises:
        ValueError: there is no such policy.
    """
    if value is not None:
        try:
            floating = tf.as_dtype(keras.DTypePolicy(value).compute_dtype).is_floating
        except (TypeError, ValueError):
            floating = False
        if not floating:
            raise ValueError(
                "Conditioners compute by a Keras dtype policy such as 'mixed_bfloat16', got "
                f"{value!r}."
            )
    return value


def annotated(owner: str, name: str, value: Any, hint: Any) -> Any:
    """Checks a value by the annotation, resolved, of the argument that it is for.

    `int` stands for a positive whole number, `float` for a finite number, `tuple[int, int]` for as
    many positive whole numbers, `Sequence[int]` for any number of them; `bool` and `str` for
    themselves, `... | None` for None as well. Other annotations, and none, let everything pass.

    Raises:
        ValueError: a number or a sequence of another kind.
        TypeError: neither a flag nor a text where one is due.
    """
    if isinstance(hint, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        if value is None and len(kinds) < len(typing.get_args(hint)):
            return None
        return annotated(owner, name, value, kinds[0]) if len(kinds) == 1 else value
    if hint is int:
        return whole(owner, name, value)
    if hint is float:
        return real(owner, name, value)
    if hint in (bool, str):
        return instance(owner, name, value, hint)
    if hint == Sequence[int]:
        return widths(owner, name, value)
    if typing.get_origin(hint) is tuple and set(typing.get_args(hint)) == {int}:
        return widths(owner, name, value, count=len(typing.get_args(hint)))
    return value


def _sequence(value: Any) -> tuple[int, ...] | None:
    """Returns a sequence of positive whole numbers as a tuple, or None of anything else."""
    if not isinstance(value, Iterable) or isinstance(value, str):
        return None
    found = tuple(value)
    if not all(_is_whole(number) and number > 0 for number in found):
        return None
    return tuple(int(number) for number in found)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
