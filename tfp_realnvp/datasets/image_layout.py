"""What the paths of image files say: splits and classes."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from tfp_realnvp.datasets.base import DatasetError
from tfp_realnvp.datasets.splitting import cut_by_hash, hold_out_last_tenth

_SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Layout:
    """Files by split, and their labels.

    Attributes:
        paths: Sorted paths of each split.
        labels: int64 labels of each split, or None in their place.
        classes: Names of the classes, sorted; empty when there are no labels.
        notes: Sentences on what the paths say that is not used.
    """

    paths: dict[str, list[str]]
    labels: dict[str, np.ndarray | None]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> str:
        """The first training file, which decides on the shape of all."""
        return self.paths["train"][0]


def read_layout(paths: Sequence[str], name: str) -> Layout:
    """Finds the splits and the classes of image files.

    Folders `train`, `validation` (or `val`) and `test` at the top are the splits; a lone
    folder around everything is looked through. With `train` and `test` alone, the last tenth
    of each class of `train`, in sorted order, is validation. Without such folders each class
    is cut into 80, 10 and 10 percent in the order of its paths' hashes. The folders below
    are the classes, if every file is in one and there are at least two.

    Args:
        paths: Relative paths with forward slashes, at least one.
        name: Where they are, for the error.

    Returns:
        The layout.

    Raises:
        DatasetError: There are splits, but none of them is `train`.
    """
    paths = sorted(paths)
    notes = []
    around = posixpath.commonpath([posixpath.dirname(path) for path in paths])
    inner = {path: PurePosixPath(path).relative_to(around).parts for path in paths}
    found = {split for parts in inner.values() if (split := _split_of(parts))}
    split_of: dict[str, str] = {}
    if len(found) >= 2:
        if "train" not in found:
            raise DatasetError(f"{name} has the folders {', '.join(sorted(found))} but no train.")
        split_of = {path: split for path, parts in inner.items() if (split := _split_of(parts))}
        if outside := [path for path in inner if path not in split_of]:
            notes.append(
                f"{name}: skipped images outside the folders of splits ({len(outside)}, first "
                f"{outside[0]})."
            )
        inner = {path: inner[path][1:] for path in split_of}
    classes = _classes(list(inner.values()))
    loose = [path for path, parts in inner.items() if len(parts) == 1]
    if 0 < len(loose) < len(inner):
        notes.append(
            f"{name}: there are no labels, for some images are in no folder of a class "
            f"({len(loose)} of {len(inner)}, first {loose[0]})."
        )
    number = {label: index for index, label in enumerate(classes)}
    label_of = {path: number[parts[0]] for path, parts in inner.items()} if classes else None
    if split_of:
        groups = {s: [path for path in inner if split_of[path] == s] for s in sorted(found)}
        if "validation" not in groups:
            train = groups["train"]
            kept, held = hold_out_last_tenth(_labels(train, label_of), len(train))
            groups["train"] = [train[row] for row in kept]
            groups["validation"] = [train[row] for row in held]
    else:
        everything = list(inner)
        rows = cut_by_hash(["/".join(parts) for parts in inner.values()], _labels(inner, label_of))
        groups = {split: [everything[row] for row in rows[split]] for split in rows}
    labels = {split: _labels(group, label_of) for split, group in groups.items()}
    return Layout(paths=groups, labels=labels, classes=classes, notes=tuple(notes))


def _labels(paths: Iterable[str], label_of: dict[str, int] | None) -> np.ndarray | None:
    return None if label_of is None else np.array([label_of[path] for path in paths], np.int64)


def _split_of(parts: Sequence[str]) -> str | None:
    return _SPLIT_NAMES.get(parts[0].lower()) if len(parts) > 1 else None


def _classes(inner: Sequence[Sequence[str]]) -> tuple[str, ...]:
    names = {parts[0] for parts in inner}
    labelled = len(names) > 1 and all(len(parts) > 1 for parts in inner)
    return tuple(sorted(names)) if labelled else ()
