"""JSON values to tensors and back, by the rules of TensorFlow Serving's json_tensor.cc.

Two differ on purpose: a number that its type does not hold, such as 300 for a pixel of uint8, is
refused, where TensorFlow Serving wraps it to 44; and lists nested more than 32 deep are refused.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.serving.rest.document import shown
from tfp_realnvp.serving.rest.refusal import Refusal

MOST_NESTED = 32


def to_array(value: Any, dtype: tf.DType, *, quick: bool = True) -> np.ndarray:
    """Returns a JSON value as an array.

    Args:
        value: a value or nested lists of them, all of one size at each depth.
        dtype: of the result.
        quick: whether no `true` or `false` may be among the values, which NumPy takes for numbers.

    Raises:
        Refusal: a value of another type, or lists of different sizes.
    """
    found = _quick(value, dtype) if quick else None
    if found is not None:
        return found
    shape = _shape(value)
    flat: list[Any] = []
    _fill(value, 0, shape, dtype, flat)
    with np.errstate(over="ignore"):  # beyond the largest number is infinity
        return np.array(flat, dtype.as_numpy_dtype).reshape(shape)


def to_json(array: np.ndarray, *, as_bytes: bool = False) -> Any:
    """Returns an array as JSON values; float32 as the shortest decimals that give it back.

    Args:
        array: numbers, flags or byte strings.
        as_bytes: whether byte strings are written in base 64.

    Raises:
        Refusal: complex numbers.
    """
    if array.dtype.kind == "c":
        raise Refusal(f"JSON has nothing for a tensor type: {array.dtype}")
    if array.dtype == np.float32:
        return _shortest(array.ravel()).reshape(array.shape).tolist()
    if array.dtype.kind in "OS":
        return _texts(array.tolist(), as_bytes)
    return array.tolist()


def is_base64(value: Any) -> bool:
    """Returns whether a value stands for bytes, `{"b64": text}`."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _quick(value: Any, dtype: tf.DType) -> np.ndarray | None:
    """Returns what NumPy makes of a value at once, or None where that may not be right."""
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError):
        return None
    if found.dtype.kind not in ("iuf" if dtype.is_floating else "iu") or dtype == tf.string:
        empty = isinstance(value, list) and found.size == 0 and found.dtype.kind == "f"
        return found.astype(dtype.as_numpy_dtype) if empty and dtype != tf.string else None
    if found.ndim > MOST_NESTED:
        return None
    if dtype.is_integer and found.size and not dtype.min <= found.min() <= found.max() <= dtype.max:
        return None
    with np.errstate(over="ignore"):
        return found.astype(dtype.as_numpy_dtype)


def _shape(value: Any) -> list[int]:
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MOST_NESTED:
            raise Refusal(f"JSON Value: lists are nested more than {MOST_NESTED} deep")
        if not value:
            break
        value = value[0]
    return shape


def _fill(value: Any, level: int, shape: list[int], dtype: tf.DType, flat: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise Refusal(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM."
                f" Expected at level: {len(shape)}"
            )
        flat.append(_one(value, dtype))
        return
    if level >= len(shape):
        raise Refusal(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise Refusal(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for item in value:
        _fill(item, level + 1, shape, dtype, flat)


def _one(value: Any, dtype: tf.DType) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype.is_floating and number:
        try:
            return float(value)
        except OverflowError:
            return np.copysign(np.inf, 1 if value > 0 else -1)
    if dtype.is_integer and number and isinstance(value, int) and dtype.min <= value <= dtype.max:
        return value
    if dtype == tf.bool and isinstance(value, bool):
        return value
    if dtype == tf.string and isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if dtype == tf.string and isinstance(value, dict):
        return _decoded(value)
    kinds = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    kind = str(value) if isinstance(value, bool) else kinds.get(type(value), "Null")
    raise Refusal(
        f"JSON Value: {shown(value)} Type: {kind} is not of expected type: {_name(dtype)}"
    )


def _decoded(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise Refusal(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("Unable to base64 decode") from None


def _shortest(values: np.ndarray) -> np.ndarray:
    """Returns the float64 with the fewest decimals of those that round to each float32."""
    found = np.empty(values.shape, "float64")
    for start in range(0, len(values), 2**16):  # as text they take 16 times the memory
        part = slice(start, start + 2**16)
        found[part] = values[part].astype("U16")
    return found


def _texts(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_texts(item, as_bytes) for item in value]
    if as_bytes:
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "replace")


def _name(dtype: tf.DType) -> str:
    """Returns TensorFlow's C++ name of a type."""
    return {"float32": "float", "float64": "double"}.get(dtype.name, dtype.name)
