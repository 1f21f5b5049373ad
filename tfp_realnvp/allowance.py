"""How many numbers of weights may be made, where a file that is loaded says how many to make."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

# What HDF5 keeps of an array beside its numbers, in float32 numbers: 256 bytes.
_PER_ARRAY = 64


class TooLargeError(ValueError):
    """More is asked for than was allowed."""


@dataclasses.dataclass
class _Left:
    numbers: int
    announced: bool = False


_left: ContextVar[_Left | None] = ContextVar("left", default=None)


@contextlib.contextmanager
def allowed(numbers: int) -> Iterator[None]:
    """Allows so many numbers of variables to be made in this block.

    A variable is counted before it is made: by `take` where its maker calls that, else by the shape
    that its initial value has in a graph, where nothing is computed.
    """
    token = _left.set(_Left(numbers))
    try:
        with tf.variable_creator_scope(_counted):
            yield
    finally:
        _left.reset(token)


def require(shape: Sequence[int]) -> None:
    """Checks that an array that weights are computed from may be made.

    Raises:
        TooLargeError: it is larger than what is left.
    """
    left = _left.get()
    if left is not None and math.prod(shape) > left.numbers:
        raise TooLargeError(f"an array of shape {tuple(shape)} is more than is left")


def take(shape: Sequence[int]) -> None:
    """Counts a variable that is made next.

    Raises:
        TooLargeError: it is larger than what is left.
    """
    require(shape)
    left = _left.get()
    if left is not None:
        left.numbers -= math.prod(shape) + _PER_ARRAY
        left.announced = True
        require([0])


def _counted(make: Any, **arguments: Any) -> Any:
    left = _left.get()
    if left is not None and not left.announced:
        take(_shape_of(arguments["initial_value"]))
    if left is not None:
        left.announced = False
    return make(**arguments)


def _shape_of(initial: Any) -> Sequence[int]:
    try:
        with tf.Graph().as_default():
            return tuple((initial() if callable(initial) else initial).shape)
    except Exception:  # an initializer that works outside of graphs alone
        return ()
