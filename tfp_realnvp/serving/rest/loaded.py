"""A version of a model in memory: its signatures, and what they are asked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf import saved_model_pb2

from tfp_realnvp.serving.about import read_about
from tfp_realnvp.serving.rest.refusal import Refusal
from tfp_realnvp.serving.warmup import read_warmup

Arrays = dict[str, np.ndarray]
_ASSERTED = "assertion failed: ["
_WHERE = ("Graph execution error:", "Detected at node", "<stack traces", "File ")
_PLACE = re.compile(r"\s*\[(?:\[\{\{node|Op:).*", re.DOTALL)
# Operations on files of the graph's choice; those that restore variables are in every SavedModel.
_ACCESS = {"ReadFile", "WriteFile", "MatchingFiles"}
_NODE = re.compile(r"^\{\{.*?\}\}\s*")


class Loaded:
    """A SavedModel, loaded and warm.

    Args:
        directory: that of the SavedModel.

    Raises:
        OSError: there is none.
        Refusal: a warm-up request fails.
        ValueError: its graphs reach for files or for Python, or the file of warm-up requests, or
            what the export says of itself, is damaged.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        model = saved_model_pb2.SavedModel.FromString(
            (Path(directory) / "saved_model.pb").read_bytes()
        )
        _refuse_access(model)
        self._model = tf.saved_model.load(str(directory))  # holds the variables
        self.signatures: dict[str, Any] = dict(self._model.signatures)
        self.metadata = _signature_defs(model)
        self.about = read_about(directory)
        for name, inputs in read_warmup(directory):
            for _ in range(2):  # TensorFlow optimizes a graph at its first run, and plans memory
                self.run(name, inputs)

    def signature(self, name: str) -> Any:
        """Returns the graph of a signature.

        Raises:
            Refusal: there is none of this name.
        """
        if name not in self.signatures:
            raise Refusal(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def specs(self, name: str) -> dict[str, tf.TensorSpec]:
        """Returns what a signature takes, by name."""
        return self.signature(name).structured_input_signature[1]

    def together(self, name: str) -> str | None:
        """Returns the signature that computes rows of several calls of one, or None.

        It is the same one, if its inputs and outputs all have one row for each example, or its form
        by rows, see `serving.signatures`.
        """
        for other in (name, f"{name}_rows"):
            if other in self.signatures:
                specs, outputs = self.specs(other), self.signature(other).structured_outputs
                shapes = [spec.shape for spec in (*specs.values(), *outputs.values())]
                known = specs.keys() <= {*self.specs(name), "row"}
                if known and all(shape.rank and shape[0] is None for shape in shapes):
                    return other
        return None

    def check(self, name: str, inputs: Arrays) -> int:
        """Checks shapes.

        Returns:
            The number of rows: the most of any input with rows.

        Raises:
            Refusal: an input of another shape.
        """
        rows = 0
        for key, spec in self.specs(name).items():
            shape = inputs[key].shape
            if not spec.shape.is_compatible_with(shape):
                raise Refusal(
                    f"Shape of tensor {key} {_shown(shape)} is not compatible with expected shape "
                    f"{_shown(spec.shape)}"
                )
            if spec.shape.rank and spec.shape[0] is None:
                rows = max(rows, shape[0])
        return rows

    def run(self, name: str, inputs: Arrays) -> Arrays:
        """Runs a signature.

        Raises:
            Refusal: the graph refuses the inputs, or there is not memory enough.
        """
        graph = self.signature(name)
        tensors = {
            key: tf.constant(inputs[key], spec.dtype) for key, spec in self.specs(name).items()
        }
        try:
            return {key: value.numpy() for key, value in graph(**tensors).items()}
        except tf.errors.InvalidArgumentError as error:
            raise Refusal(_sentence(error)) from None
        except tf.errors.ResourceExhaustedError as error:
            raise Refusal(_sentence(error), "RESOURCE_EXHAUSTED") from None


def _sentence(error: tf.errors.OpError) -> str:
    """Returns what an operation says, without its place in the graph."""
    for line in error.message.splitlines():
        text = _PLACE.sub("", _NODE.sub("", line)).strip()
        if text.startswith(_ASSERTED):
            return text.removeprefix(_ASSERTED).removesuffix("]")
        if text and not text.startswith(_WHERE):
            return text
    return type(error).__name__


def _shown(shape: Any) -> str:
    return f"[{','.join('?' if side is None else str(side) for side in shape)}]"


def _refuse_access(model: Any) -> None:
    """Refuses graphs that reach for more than their inputs and their own variables."""
    for graph in (meta_graph.graph_def for meta_graph in model.meta_graphs):
        functions = (node for function in graph.library.function for node in function.node_def)
        for node in (*graph.node, *functions):
            if node.op in _ACCESS or "PyFunc" in node.op:
                raise ValueError(f"A model with the operation {node.op} is not served.")


def _signature_defs(model: Any) -> dict[str, Any]:
    return {
        name: MessageToDict(
            definition,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name, definition in model.meta_graphs[0].signature_def.items()
    }
