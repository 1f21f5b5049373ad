"""Rules that cut data into train, validation and test where the data do not say."""

import hashlib
from collections.abc import Sequence

import numpy as np


def hold_out_last_tenth(labels: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a training set in two: the last tenth of each class becomes validation.

    Args:
        labels: Labels [N], or None for one class.
        count: Number of examples N.

    Returns:
        Rows of both, in the order of the data. A class of fewer than ten gives one example, a class
        of one gives none.
    """
    labels = np.zeros(count, np.int64) if labels is None else labels
    held = np.zeros(count, bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        held[rows[len(rows) - _tenth(len(rows), least=2) :]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def cut_in_order(count: int) -> dict[str, np.ndarray]:
    """Cuts so many examples into the first 80, the next 10 and the last 10 percent, by rows."""
    tenth = _tenth(count, least=3)
    rows = np.arange(count)
    bounds = [count - 2 * tenth, count - tenth]
    return dict(zip(("train", "validation", "test"), np.split(rows, bounds), strict=True))


def cut_by_hash(paths: Sequence[str], labels: np.ndarray | None) -> dict[str, np.ndarray]:
    """Cuts files into 80, 10 and 10 percent of each class, in the order of their paths' hashes.

    The hash is of the path alone, so that the cut is the same on every machine, and a file
    that is added moves few others to another split.

    Args:
        paths: Relative paths with forward slashes, N of them.
        labels: Labels [N], or None for one class.

    Returns:
        Rows of each split, in the order of the data.
    """
    labels = np.zeros(len(paths), np.int64) if labels is None else labels
    ranks = np.argsort(
        [hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest() for path in paths]
    )
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in np.unique(labels):
        rows = ranks[labels[ranks] == label]
        for split, places in cut_in_order(len(rows)).items():
            parts[split].append(rows[places])
    return {split: np.sort(np.concatenate(rows)) for split, rows in parts.items()}


def _tenth(count: int, *, least: int) -> int:
    return max(1, count // 10) if count >= least else 0
