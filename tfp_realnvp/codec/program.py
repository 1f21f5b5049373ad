"""A network as a list of operations, which NumPy alone works through."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfp_realnvp.codec.operations import OPERATIONS, weights_of

PRODUCTS = ("Conv2D", "MatMul", "BatchMatMulV2")

#: One of the results of a node: its number, and that of the result.
Result = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        operation: TensorFlow's name for it; `"Const"` for a constant, `"Input"` for an input.
        inputs: what it takes.
        attributes: the rest that it depends on; the `"value"` of a constant.
    """

    operation: str
    inputs: tuple[Result, ...] = ()
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)


class Program:
    """Operations in an order in which they can be done.

    What depends on constants alone is done once, when a program is made. Real numbers are doubles.

    Args:
        nodes: the operations, the inputs first.
        outputs: which results are the program's.

    Raises:
        NotImplementedError: an operation that has no exact form here.

    Example:
        >>> import numpy as np
        >>> from tfp_realnvp.codec.program import Node, Program
        >>> nodes = [Node("Input"), Node("AddV2", ((0, 0), (0, 0)))]
        >>> Program(nodes, [(1, 0)])(np.array([1.0]))
        [array([2.])]
    """

    def __init__(self, nodes: list[Node], outputs: list[Result]):
        self.nodes, self.outputs = nodes, [(node, k) for node, k in outputs]
        self._inputs = [i for i, node in enumerate(nodes) if node.operation == "Input"]
        self._constants: dict[Result, Any] = {}
        self._steps: list[tuple[int, list[Any]]] = []
        self._prepare()

    def _prepare(self) -> None:
        for i, node in enumerate(self.nodes):
            if node.operation == "Input":
                continue
            if node.operation == "Const":
                self._constants[i, 0] = _widened(node.attributes["value"])
                continue
            if node.operation not in OPERATIONS:
                raise NotImplementedError(f"the operation {node.operation}")
            if all(each in self._constants for each in node.inputs):
                # A product's second factor is weights even where the first is a constant too.
                values = [self._constants[each] for each in node.inputs]
                for k, result in enumerate(self._results(node, self._ready(node, values))):
                    self._constants[i, k] = result
            else:
                values = self._ready(node, [self._constants.get(each) for each in node.inputs])
                self._steps.append((i, values))
        self._last_use = {each: i for i, _ in self._steps for each in self.nodes[i].inputs}

    def _ready(self, node: Node, values: list[Any]) -> list[Any]:
        if node.operation in PRODUCTS and values[1] is not None and values[1].ndim in (2, 4):
            weights = weights_of(node.operation, values[1], node.attributes)
            return [values[0], weights]
        return values

    @staticmethod
    def _results(node: Node, values: list[Any]) -> tuple:
        results = OPERATIONS[node.operation](values, node.attributes)
        return results if isinstance(results, tuple) else (results,)

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Returns the outputs for some rows.

        Args:
            *inputs: one array `[N, ...]` for each input.
        """
        known = {(i, 0): x for i, x in zip(self._inputs, inputs, strict=True)}
        for i, constants in self._steps:
            node = self.nodes[i]
            values = [
                known[each] if constant is None else constant
                for each, constant in zip(node.inputs, constants, strict=True)
            ]
            for k, result in enumerate(self._results(node, values)):
                known[i, k] = result
            for each in node.inputs:
                if self._last_use[each] == i and each not in self.outputs:
                    known.pop(each, None)
        return [known[o] if o in known else self._constants[o] for o in self.outputs]


def _widened(value: np.ndarray) -> np.ndarray:
    value = np.asarray(value)
    if value.dtype.kind == "f":
        return value.astype(np.float64)
    return value.astype(np.int64) if value.dtype.kind in "iu" else value
