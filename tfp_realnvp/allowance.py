"""How many numbers of weights may be made, where a file that is loaded says how many to make."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

# What HDF5 keeps of an array beside its numbers, in float32 numbers: 256 bytes.
_PER_ARRAY = 64

_left: ContextVar[list[int] | None] = ContextVar("left", default=None)


class TooLargeError(ValueError):
    """More is asked for than was allowed."""


@contextlib.contextmanager
def allowed(numbers: int) -> Iterator[None]:
    """Allows so many numbers of weights to be made in this block."""
    token = _left.set([numbers])
    try:
        yield
    finally:
        _left.reset(token)


def require(shape: Sequence[int]) -> None:
    """Checks that an array that weights are computed from may be made.

    Raises:
        TooLargeError: it is larger than what is left.
    """
    left = _left.get()
    if left is not None and math.prod(shape) > left[0]:
        raise TooLargeError(f"An array of shape {tuple(shape)} is more than was allowed.")


def take(shape: Sequence[int]) -> None:
    """Counts a weight that is about to be made.

    Raises:
        TooLargeError: it is larger than what is left.
    """
    require(shape)
    left = _left.get()
    if left is not None:
        left[0] -= math.prod(shape) + _PER_ARRAY
        require([0])
