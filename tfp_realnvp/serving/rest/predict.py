"""Requests and replies of `:predict`, in rows (`instances`) and in columns (`inputs`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_realnvp.serving.rest.document import parsed, shown
from tfp_realnvp.serving.rest.refusal import Refusal
from tfp_realnvp.serving.rest.tensors import is_base64, to_array, to_json

Dtypes = Mapping[str, tf.DType]


class Request(NamedTuple):
    """A request to predict: the signature, its inputs, and whether they came in rows."""

    signature: str
    inputs: dict[str, np.ndarray]
    in_rows: bool


def read_request(body: bytes, dtypes_of: Callable[[str], Dtypes]) -> Request:
    """Reads a request.

    Args:
        body: a JSON object.
        dtypes_of: gives the types of a signature's inputs.

    Raises:
        Refusal: in TensorFlow Serving's sentences.
    """
    document = parsed(body)
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise Refusal(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    signature = signature or "serving_default"
    dtypes = dtypes_of(signature)
    if not dtypes:
        raise Refusal(f"Failed to get input map for signature: {signature}")
    if {"instances", "inputs"} <= document.keys():
        raise Refusal(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' "
            "or 'instances' keys to exist "
        )
    quick = b"true" not in body and b"false" not in body
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise Refusal(
                f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array"
            )
        if not instances:
            raise Refusal(f"JSON Value: {shown(document)} No values in 'instances' array")
        return Request(signature, _of_rows(instances, dtypes, quick), True)
    if "inputs" in document:
        return Request(signature, _of_columns(document["inputs"], dtypes, quick), False)
    raise Refusal("Missing 'inputs' or 'instances' key")


def write_reply(results: Mapping[str, np.ndarray], *, in_rows: bool) -> bytes:
    """Returns the reply to a request, in the form that it came in.

    Raises:
        Refusal: it came in rows, and there are results without, or of different numbers of them; no
            results, or some that JSON has no numbers for.
    """
    if not results:
        raise Refusal("Cannot convert empty tensor map to JSON")
    for name, value in results.items() if in_rows else ():
        if value.ndim == 0:
            raise Refusal(f"Tensor name: {name} has no shape information ")
        expected = len(next(iter(results.values())))
        if len(value) != expected:
            raise Refusal(
                f"Tensor name: {name} has inconsistent batch size: {len(value)} expecting: "
                f"{expected}"
            )
    lists = {
        name: to_json(value, as_bytes=name.endswith("_bytes"))
        for name, value in sorted(results.items())
    }
    reply: Any = lists
    if len(lists) == 1:
        (reply,) = lists.values()
    elif in_rows:
        reply = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return json.dumps({"predictions" if in_rows else "outputs": reply}).encode()


def _of_columns(inputs: Any, dtypes: Dtypes, quick: bool) -> dict[str, np.ndarray]:
    if isinstance(inputs, dict) and not is_base64(inputs):
        for name in dtypes:
            if name not in inputs:
                raise Refusal(f"Missing named input: {name} in 'inputs' object.")
        return {name: to_array(inputs[name], dtypes[name], quick=quick) for name in dtypes}
    if len(dtypes) > 1:
        raise Refusal(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    ((name, dtype),) = dtypes.items()
    return {name: to_array(inputs, dtype, quick=quick)}


def _of_rows(instances: list[Any], dtypes: Dtypes, quick: bool) -> dict[str, np.ndarray]:
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise Refusal(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    objects = _is_object(instances[0])
    try:
        return _at_once(instances, dtypes, objects, quick)
    except (Refusal, KeyError, TypeError):
        return _one_by_one(instances, dtypes, objects)


def _at_once(
    instances: list[Any], dtypes: Dtypes, objects: bool, quick: bool
) -> dict[str, np.ndarray]:
    if not objects:
        ((name, dtype),) = dtypes.items()
        return {name: to_array(instances, dtype, quick=quick)}
    if any(item.keys() != dtypes.keys() if _is_object(item) else True for item in instances):
        raise KeyError
    return {
        name: to_array([item[name] for item in instances], dtype, quick=quick)
        for name, dtype in dtypes.items()
    }


def _one_by_one(instances: list[Any], dtypes: Dtypes, objects: bool) -> dict[str, np.ndarray]:
    """Finds which row is wrong, and says of the first what TensorFlow Serving would."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in dtypes}
    names = ",".join(sorted(dtypes))
    for index, item in enumerate(instances):
        if _is_object(item) != objects:
            expected, got = ("object", "list") if objects else ("value/list", "object")
            raise Refusal(f"Expecting {expected} but got {got} at item {index} of input list")
        for name, value in (item if objects else dict.fromkeys(dtypes, item)).items():
            try:
                rows.get(name, []).append(_next_row(name, value, dtypes, rows))
            except Refusal as error:
                key = f" key: {name}" if objects else ""
                raise Refusal(
                    f"Failed to process element: {index}{key} of 'instances' list. Error: {error}"
                ) from None
        if objects and item.keys() != dtypes.keys():
            raise Refusal(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{shown(item)} keys must be equal to: {names}"
            )
    return {name: np.stack(values) for name, values in rows.items()}


def _next_row(
    name: str, value: Any, dtypes: Dtypes, rows: dict[str, list[np.ndarray]]
) -> np.ndarray:
    if name not in dtypes:
        raise Refusal(f"JSON object: does not have named input: {name}")
    found = to_array(value, dtypes[name], quick=False)
    first = rows[name][0] if rows[name] else found
    if found.size != first.size:
        raise Refusal(f"Expecting tensor size: {first.size} but got: {found.size}")
    if found.shape != first.shape:
        raise Refusal(f"Expecting shape {_shown(first.shape)} but got: {_shown(found.shape)}")
    return found


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _shown(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
