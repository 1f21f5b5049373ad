"""`Plan`: how the rows of a batch are worked on."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import tensorflow as tf

from tfp_realnvp.kernels import Kernels

# A part of fewer rows than this is not worth operations of its own.
FEWEST_ROWS = 4


@dataclasses.dataclass(frozen=True)
class Plan:
    """How the rows of a batch are worked on; no result depends on it, but for rounding.

    A batch is worked on in rounds of `rows_at_once` rows, one after the other, for its memory; and
    each round in parts, side by side, that share the cores of a machine.

    Attributes:
        parts: parts that are worked on side by side.
        rows_at_once: the most rows that are worked on at a time; None for all.
        kernels: what conditioners compute with.

    Example:
        >>> from tfp_realnvp.execution.plan import Plan
        >>> Plan(parts=2, rows_at_once=32).division(100)
        (8, 13)
    """

    parts: int = 1
    rows_at_once: int | None = None
    kernels: Kernels = dataclasses.field(default_factory=Kernels)

    @property
    def divides(self) -> bool:
        """Whether batches are divided at all."""
        return self.parts > 1 or self.rows_at_once is not None

    @property
    def side_by_side(self) -> int:
        """Parts that are worked on side by side, none of which is tiny."""
        if self.rows_at_once is None:
            return self.parts
        return max(1, min(self.parts, self.rows_at_once // FEWEST_ROWS))

    def division(self, count: Any) -> tuple[Any, Any]:
        """Returns the number of parts of a batch, and how many rows each of them has.

        The last part may have fewer; it is filled up. An empty batch is one part of no rows.

        Args:
            count: rows of the batch, an int or an int32 tensor.
        """
        if self.rows_at_once is None:
            return self.parts, ceil(count, self.parts)
        if self.kernels.by_xla:  # which compiles a program for each number of rows
            size = ceil(self.rows_at_once, self.side_by_side)
            return _most(1, ceil(count, size)), size
        rounds = ceil(count, self.rows_at_once)
        parts = _least(rounds * self.side_by_side, ceil(count, FEWEST_ROWS))
        size = ceil(count, _most(1, rounds, parts))
        return _most(1, ceil(count, _most(1, size))), size


def ceil(count: Any, divisor: Any) -> Any:
    """Returns `count / divisor`, rounded up."""
    return -(-count // divisor)


def _most(*values: Any) -> Any:
    known = all(isinstance(value, int) for value in values)
    return max(values) if known else functools.reduce(tf.maximum, values)


def _least(*values: Any) -> Any:
    return -_most(*(-value for value in values))
