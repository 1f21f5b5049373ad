"""Codec models as bytes: all that decoding needs, whatever becomes of this package's code."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from typing import Any

import numpy as np

from tfp_realnvp.codec import maps, steps
from tfp_realnvp.codec.model import Model
from tfp_realnvp.codec.program import Node, Program

MAGIC, VERSION = b"NVPM", 1
_HEAD = struct.Struct("<4sBI")
_KINDS = {
    kind.__name__: kind
    for kind in (
        *(Model, maps.Closed, maps.Chain, maps.Mixture),
        *(steps.Reorder, steps.Dequantize, steps.Seeing, steps.Elements, steps.Mix),
        *(steps.Leave, steps.Blocks),
    )
}
# Text that is more is no model's.
_MOST_TEXT = 2**26


def to_bytes(model: Model) -> bytes:
    """Returns a model as bytes, the same for equal models."""
    arrays: dict[bytes, list[Any]] = {}
    blobs: list[bytes] = []

    def reference(array: np.ndarray) -> dict[str, Any]:
        array = _narrowed(array)
        data = array.tobytes()
        description = [array.dtype.str, list(array.shape)]
        key = json.dumps(description).encode() + data
        if key not in arrays:
            arrays[key] = [len(arrays), *description]
            blobs.append(data)
        return {"array": arrays[key][0]}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            return reference(np.asarray(value))
        if isinstance(value, Program):
            nodes = [[node.operation, node.inputs, plain(node.attributes)] for node in value.nodes]
            return {"program": nodes, "outputs": value.outputs}
        if dataclasses.is_dataclass(value):
            fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"kind": type(value).__name__, **fields}
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return value

    tree = plain(model)
    text = json.dumps({"model": tree, "arrays": [each[1:] for each in arrays.values()]})
    packed = zlib.compress(text.encode(), 9)
    return _HEAD.pack(MAGIC, VERSION, len(packed)) + packed + b"".join(blobs)


def from_bytes(data: bytes) -> Model:
    """Makes a model of what `to_bytes` made of it.

    Raises:
        ValueError: it is no model, damaged, or of a version that is not known.
    """
    if data[:4] != MAGIC:
        raise ValueError("This is no codec model.")
    try:
        _, version, length = _HEAD.unpack_from(data)
    except struct.error as error:
        raise ValueError("The codec model is damaged.") from error
    if version != VERSION:
        raise ValueError(
            f"The codec model is of version {version}, where {VERSION} is the newest that is known."
        )
    try:
        start = _HEAD.size + length
        text = zlib.decompressobj().decompress(data[_HEAD.size : start], _MOST_TEXT)
        content = json.loads(text)
        arrays = []
        for kind, shape in content["arrays"]:
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            arrays.append(np.frombuffer(data[start : start + size], kind).reshape(shape))
            start += size
        return _made(content["model"], arrays)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, zlib.error) as error:
        raise ValueError("The codec model is damaged.") from error


def _made(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_made(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        array = arrays[value["array"]]
        return array.astype(np.float64) if array.dtype.kind == "f" else array
    if "program" in value:
        nodes = [
            Node(operation, tuple((i, k) for i, k in inputs), _made(attributes, arrays))
            for operation, inputs, attributes in value["program"]
        ]
        return Program(nodes, value["outputs"])
    if "kind" in value:
        fields = {key: _made(each, arrays) for key, each in value.items() if key != "kind"}
        return _KINDS[value["kind"]](**{key: _shape(key, each) for key, each in fields.items()})
    return {key: _made(each, arrays) for key, each in value.items()}


def _shape(name: str, value: Any) -> Any:
    """Returns lists as tuples where these were."""
    if name in ("shape", "domain") and isinstance(value, list):
        return tuple(value)
    if name == "shapes":
        return [tuple(each) for each in value]
    return value


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Returns the same numbers in the least bytes."""
    narrow = {"f": ("<f2", "<f4", "<f8"), "i": ("<i1", "<i2", "<i4", "<i8"), "u": ("<u1", "<u4")}
    for kind in narrow.get(array.dtype.kind, ()):
        with np.errstate(over="ignore"):
            same = array.astype(kind)
        if np.array_equal(same.astype(array.dtype), array):
            return same
    return array
