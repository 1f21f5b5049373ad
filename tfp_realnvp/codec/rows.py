"""Rows worked on some at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

# So many that what is between two operations stays in a core's cache.
ROWS = 4


def in_rows(function: Callable[..., Sequence[np.ndarray]], *arrays: np.ndarray) -> list[np.ndarray]:
    """Returns what a function makes of rows, which it makes of each row by itself.

    Args:
        function: from some rows of each array to arrays of as many rows.
        *arrays: `[N, ...]` each.
    """
    count = len(arrays[0])
    if count <= ROWS:
        return list(function(*arrays))
    parts = [
        function(*(array[first : first + ROWS] for array in arrays))
        for first in range(0, count, ROWS)
    ]
    return [np.concatenate(results) for results in zip(*parts, strict=True)]
