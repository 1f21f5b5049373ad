"""Rows worked on side by side, some at a time."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable, Sequence

import numpy as np
import threadpoolctl

from tfp_realnvp.execution import device

# So many that what is between two operations stays in a core's cache.
ROWS = 16


@functools.cache
def _pool() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(device.cores(), "codec")


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()


def in_rows(function: Callable[..., Sequence[np.ndarray]], *arrays: np.ndarray) -> list[np.ndarray]:
    """Returns what a function makes of rows, which it makes of each row by itself.

    Args:
        function: from some rows of each array to arrays of as many rows.
        *arrays: `[N, ...]` each.
    """
    count = len(arrays[0])
    if count <= ROWS:
        return list(function(*arrays))

    def part(first: int) -> Sequence[np.ndarray]:
        rows = slice(first, first + ROWS)
        return function(*(array[rows] for array in arrays))

    # A core to each part, and not all cores to each product of matrices.
    with _libraries().limit(limits=1, user_api="blas"):
        parts = list(_pool().map(part, range(0, count, ROWS)))
    return [np.concatenate(results) for results in zip(*parts, strict=True)]
