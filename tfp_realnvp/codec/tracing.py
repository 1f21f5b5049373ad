"""Programs of what TensorFlow computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.codec.program import Node, Program

# What only stands for its input.
_PASSING = ("Identity", "StopGradient", "EnsureShape", "PreventGradient", "CheckNumerics")
_ATTRIBUTES = (
    *("axis", "num_split", "squeeze_dims", "block_size"),
    *("keep_dims", "exclusive", "reverse"),
    *("transpose_a", "transpose_b", "adj_x", "adj_y"),
    *(f"{kind}_mask" for kind in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")),
)


def traced(function: Callable[..., Any], *specs: tf.TensorSpec) -> Program:
    """Returns the program of a function of tensors, with the variables' present values.

    Args:
        function: makes one or several tensors of tensors.
        *specs: of its arguments.

    Raises:
        NotImplementedError: an operation that has no exact form.
    """
    # Automatic graphs are for loops and branches, which have no place here.
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    graph = concrete.graph
    values = {id(placeholder): _value(held, graph) for held, placeholder in graph.captures}
    nodes = [Node("Input") for _ in specs]
    found = {id(x): (i, 0) for i, x in enumerate(concrete.inputs[: len(specs)])}

    def result_of(tensor: tf.Tensor) -> tuple[int, int]:
        """Adds what makes a tensor, where that has not been added yet."""
        waiting = [tensor]
        while waiting:
            operation = waiting[-1].op
            if all(id(output) in found for output in operation.outputs):
                waiting.pop()
                continue
            if missing := [
                x for x in operation.inputs if id(x) not in found and id(x) not in values
            ]:
                waiting.extend(missing)
                continue
            _add(operation, nodes, found, values)
        return found[id(tensor)]

    return Program(nodes, [result_of(output) for output in concrete.outputs])


def _value(held: tf.Tensor, graph: Any) -> np.ndarray:
    """Returns what a graph holds: a constant, or a variable's value."""
    for variable in graph.variables:
        if variable.handle is held:
            return variable.numpy()
    return held.numpy()


def _add(
    operation: tf.Operation,
    nodes: list[Node],
    found: dict[int, tuple[int, int]],
    values: dict[int, np.ndarray],
) -> None:
    inputs = list(operation.inputs)
    kind, first = operation.type, inputs[0] if inputs else None
    if kind in _PASSING and id(first) in found:
        found[id(operation.outputs[0])] = found[id(first)]
        return
    attributes: dict[str, Any] = {}
    if (x := _two_sided(operation)) is not None:  # one exponential instead of two
        kind = "TwoSidedElu"
        attributes = {"axis": int(tf.get_static_value(inputs[0].op.inputs[-1]))}
        inputs = [x]
    elif kind == "ReadVariableOp":
        kind, attributes, inputs = "Const", {"value": values[id(first)]}, []
    elif kind == "Const":
        attributes = {"value": tf.make_ndarray(operation.get_attr("value"))}
    elif kind == "Placeholder":  # captured
        kind, attributes = "Const", {"value": values[id(operation.outputs[0])]}
    elif kind == "Cast":
        attributes = {"DstT": _kind(operation.get_attr("DstT"))}
    elif kind == "Conv2D":
        _check_convolution(operation)
    else:
        own = {attribute.name for attribute in operation.op_def.attr}
        attributes = {name: operation.get_attr(name) for name in _ATTRIBUTES if name in own}
    for x in inputs:  # what is captured, and not a variable's
        if id(x) not in found:
            found[id(x)] = (len(nodes), 0)
            nodes.append(Node("Const", (), {"value": values[id(x)]}))
    for k, output in enumerate(operation.outputs):
        found[id(output)] = (len(nodes), k)
    nodes.append(Node(kind, tuple(found[id(x)] for x in inputs), attributes))


def _two_sided(operation: tf.Operation) -> tf.Tensor | None:
    """Returns x of `elu(concat([x, -x]))`, or None."""
    if operation.type != "Elu" or operation.inputs[0].op.type != "ConcatV2":
        return None
    x, negative, *more = operation.inputs[0].op.inputs
    if len(more) == 1 and negative.op.type == "Neg" and negative.op.inputs[0] is x:
        return x
    return None


def _kind(dtype: tf.DType) -> str:
    if dtype.is_floating:
        return "float64"
    return "bool" if dtype.is_bool else "int64"


def _check_convolution(operation: tf.Operation) -> None:
    given = {
        "strides": [1, 1, 1, 1],
        "dilations": [1, 1, 1, 1],
        "padding": b"SAME",
        "data_format": b"NHWC",
    }
    for name, expected in given.items():
        if operation.get_attr(name) != expected:
            raise NotImplementedError(f"convolutions with other {name} than {expected}")
