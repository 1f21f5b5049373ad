"""How many numbers of weights may be made, where a file that is loaded says how many to make."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

# What HDF5 keeps of an array beside its numbers, in float32 numbers: 256 bytes.
_PER_ARRAY = 64


class TooLargeError(ValueError):
    """More is asked for than was allowed."""


@contextlib.contextmanager
def allowed(numbers: int) -> Iterator[None]:
    """Allows so many numbers of variables to be made in this block.

    A variable is counted before it is made, by the shape that its initial value has in a graph,
    where nothing is computed. What members make beside their variables is no larger than these, and
    comes after them.

    Raises:
        TooLargeError: in the block, at the first variable that is too many.
    """
    left = numbers

    def counted(make: Any, **arguments: Any) -> Any:
        nonlocal left
        shape = _shape_of(arguments["initial_value"])
        left -= math.prod(shape) + _PER_ARRAY
        if left < 0:
            raise TooLargeError(f"an array of shape {tuple(shape)} is more than is left")
        return make(**arguments)

    with tf.variable_creator_scope(counted):
        yield


def _shape_of(initial: Any) -> Sequence[int]:
    try:
        with tf.Graph().as_default():
            return tuple((initial() if callable(initial) else initial).shape)
    except Exception:  # an initializer that works outside of graphs alone
        return ()
