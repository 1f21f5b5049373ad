"""Warm-up requests: what a server runs before the first caller comes.

A graph is optimized when it first runs, which takes seconds. When it loads a version, TensorFlow
Serving looks for requests in `assets.extra/tf_serving_warmup_requests`, a TFRecord of
`PredictionLog`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.serving.messages import PredictionLog

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
# One example has a graph of its own, see `signatures`.
SIZES = (1, 2)


def write_warmup(directory: str | os.PathLike[str], graphs: Mapping[str, Any]) -> None:
    """Writes requests for every signature, for one example and for two.

    Args:
        directory: that of the SavedModel.
        graphs: concrete functions by signature.
    """
    path = Path(directory) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, graph in graphs.items():
            inputs = graph.structured_input_signature[1]
            fixed = all(spec.shape.is_fully_defined() for spec in inputs.values())
            # The shapes of `sample` are known, but for those of labels; its size is an input.
            for size in SIZES[:1] if fixed and name != "sample" else SIZES:
                log = PredictionLog()
                request = log.predict_log.request
                request.model_spec.signature_name = name
                for key, spec in sorted(inputs.items()):
                    value = tf.make_tensor_proto(_value(key, spec, size), spec.dtype)
                    request.inputs.add(key=key).value.CopyFrom(value)
                writer.write(log.SerializeToString())


def read_warmup(
    directory: str | os.PathLike[str],
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields the requests of a SavedModel: the signature, and its inputs; none without the file.

    Raises:
        ValueError: the file holds something else.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            request = PredictionLog.FromString(record).predict_log.request
            inputs = {entry.key: tf.make_ndarray(entry.value) for entry in request.inputs}
            yield request.model_spec.signature_name or "serving_default", inputs
    except Exception as error:
        raise ValueError(f"{path} holds no warm-up requests.") from error


def _value(key: str, spec: tf.TensorSpec, size: int) -> np.ndarray:
    """Returns an input that every flow takes: black images, the origin, class 0."""
    value = np.zeros([size if side is None else side for side in spec.shape], "float64")
    return value + {"num_samples": size, "temperature": 1}.get(key, 0)
