"""The checks on arrays of examples and labels, wherever they come from.

`name` says for the error where they come from; what is wrong is a `DatasetError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tfp_realnvp.core.stored import Rows, StoredRows
from tfp_realnvp.datasets.base import DatasetError, DatasetInfo, StoredArrays

MAX_CLASSES = 65_536
"""The most classes that labels may name: beyond, they are identifiers, or another quantity."""


class Part(NamedTuple):
    """Which rows of all some are.

    Attributes:
        numbers: Of the rows.
        total: How many there are in all.
    """

    numbers: np.ndarray
    total: int


_MAX_CHANNELS = 4
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def event_shape(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> tuple[int, ...]:
    """Shape of one example, (H, W, C) or (D,), from an array's shape and type alone."""
    if dtype.kind not in "biuf":
        expected = "real numbers" if dtype.kind == "c" else "numbers"
        raise DatasetError(
            f"{name} holds an array of type {dtype}, where {expected} were expected."
        )
    if len(shape) not in (2, 3, 4) or (len(shape) == 4 and shape[3] > _MAX_CHANNELS):
        raise DatasetError(
            f"{name} holds an array of shape {list(shape)}, where images [N, H, W] or [N, H, W, C] "
            f"with at most {_MAX_CHANNELS} channels, last, or vectors [N, D] were expected."
        )
    if shape[0] == 0:
        raise DatasetError(f"{name} holds no examples: its shape is {list(shape)}.")
    if 0 in shape:
        raise DatasetError(f"{name} holds examples without values: its shape is {list(shape)}.")
    return (*shape[1:], 1) if len(shape) == 3 else shape[1:]


def check_examples(
    x: np.ndarray,
    name: str,
    *,
    levels: int = 256,
    columns: Sequence[str] | None = None,
    part: Part | None = None,
) -> np.ndarray:
    """Makes images uint8 [N, H, W, C] and vectors float32 [N, D], if they are that.

    Args:
        x: Images [N, H, W] or [N, H, W, C] of any type with integer values, or vectors [N, D]
            of finite values within float32's range.
        name: See above.
        levels: Number of values that a pixel takes.
        columns: Names of the D columns of vectors, for the error.
        part: Which rows they are, where they are not all.
    """
    shape = event_shape(x.shape, x.dtype, name)
    if x.dtype.kind == "f" and (place := _first(~np.isfinite(x))):
        raise DatasetError(
            f"{name} holds values that are NaN or infinite: {_at(x, place, columns, part)}."
        )
    if len(shape) == 1:
        with np.errstate(over="ignore"):  # what becomes infinite is refused by name
            vectors = np.asarray(x, np.float32)
        if place := _first(~np.isfinite(vectors)):
            raise DatasetError(
                f"{name} holds values beyond float32's {_FLOAT32_MAX:.3g}, which would become "
                f"infinite: {_at(x, place, columns, part)}."
            )
        return vectors
    if x.dtype.kind == "f" and (place := _first(x != np.floor(x))):
        raise DatasetError(
            f"{name} holds images with fractions such as {_at(x, place, part=part)}; pixels must "
            f"be integers in 0..{levels - 1}."
        )
    low, high = int(x.min()), int(x.max())
    if low < 0 or high >= levels:
        raise DatasetError(
            f"{name} holds pixels in {low}..{high}, where 0..{levels - 1} were expected."
        )
    return np.asarray(x, np.uint8).reshape(len(x), *shape)


def checked_rows(
    x: Rows, name: str, *, levels: int = 256, columns: Sequence[str] | None = None
) -> Rows:
    """Makes of examples what `check_examples` does; of stored ones, each time that they are read.

    Their shape and type are looked at now. For the arguments see `check_examples`.
    """
    if not isinstance(x, StoredRows):
        return check_examples(x, name, levels=levels, columns=columns)
    shape, count = event_shape(x.shape, x.dtype, name), len(x)
    return x.changed(
        lambda rows, numbers: check_examples(
            rows, name, levels=levels, columns=columns, part=Part(numbers, count)
        ),
        shape,
        np.float32 if len(shape) == 1 else np.uint8,
    )


def check_labels(
    labels: Any, count: int, name: str, *, num_classes: int | None = None
) -> np.ndarray | None:
    """Makes labels int64 [N], if they are that.

    Args:
        labels: Labels [N] or [N, 1] of any type with integer values, or None.
        count: Number of examples N.
        name: See above.
        num_classes: Number of classes; None for up to `MAX_CLASSES`.
    """
    if labels is None:
        return None
    labels = _plain(labels, name)
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise DatasetError(
            f"{name} holds labels of shape {list(labels.shape)} for {count} examples."
        )
    limit = MAX_CLASSES if num_classes is None else num_classes
    expected = f"integers in 0..{limit - 1} were expected"
    if labels.dtype.kind not in "biuf":
        raise DatasetError(f"{name} holds labels of type {labels.dtype}, where {expected}.")
    # NaN fails every comparison, and nothing is cast to integers before it is known to fit.
    exact = labels.astype(np.float64) if labels.dtype.kind == "f" else labels
    wrong = ~((exact >= 0) & (exact < limit)) | (exact != np.floor(exact))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DatasetError(
            f"{name} holds the label {labels[row].item()!r} in {_row(row, count)}, where "
            f"{expected}."
        )
    return labels.astype(np.int64)


def condition_shape(
    shape: tuple[int, ...], dtype: np.dtype[Any], count: int, event: tuple[int, ...], name: str
) -> tuple[int, ...]:
    """Shape of the condition of one example, from an array's shape and type alone.

    Args:
        shape: Of the array, [N], [N, K], or of images [N, H, W] or [N, H, W, K].
        dtype: Of the array.
        count: Number of examples N.
        event: Shape of one example.
        name: See above.
    """
    if dtype.kind not in "biuf":
        raise DatasetError(
            f"{name} holds a condition of type {dtype}, where real numbers were expected."
        )
    if shape[:1] != (count,) or 0 in shape:
        raise DatasetError(f"{name} holds a condition of shape {list(shape)} for {count} examples.")
    return (*shape[1:], 1) if shape[1:] in ((), event[:-1]) else shape[1:]


def check_condition(condition: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Makes a condition [N, *shape] with float32 in the place of other floats, if it is finite."""
    if condition.dtype.kind != "f":
        return condition.reshape(-1, *shape)
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        values = condition.astype(np.float32).reshape(-1, *shape)
    if place := _first(~np.isfinite(values)):
        raise DatasetError(
            f"{name} holds a condition that is NaN, infinite or beyond float32 in "
            f"{_row(place[0], len(values))}."
        )
    return values


def check_pair(given: Any, name: str, *, info: DatasetInfo | None = None) -> StoredArrays:
    """Makes what a registered function gave examples and labels, if it is that.

    See `checked_rows` and `check_labels`; where there is an `info`, both must be as it says.
    """
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DatasetError(
            f"{name} came as {type(given).__name__}, where a pair of examples and labels (or None) "
            "was expected."
        )
    x = given[0] if isinstance(given[0], StoredRows) else _plain(given[0], name)
    if info is None:
        x = checked_rows(x, name)
        return x, check_labels(given[1], len(x), name)
    check_shape(event_shape(x.shape, x.dtype, name), info.event_shape, name)
    x = checked_rows(x, name, levels=info.levels or 256, columns=info.columns)
    labels = check_labels(given[1], len(x), name, num_classes=info.num_classes)
    if labels is None and info.num_classes is not None:
        raise DatasetError(f"{name} has no labels, where {info.num_classes} classes were expected.")
    return x, labels


def check_shape(shape: Sequence[int], expected: Sequence[int], name: str) -> None:
    """Refuses examples whose shape is not that of the others in the data set."""
    if tuple(shape) != tuple(expected):
        raise DatasetError(
            f"{name} holds examples of shape {list(shape)}, where the {list(expected)} of the "
            "others were expected."
        )


def described(
    name: str,
    shape: tuple[int, ...],
    num_classes: int | None,
    *,
    levels: int = 256,
    columns: tuple[str, ...] | None = None,
    condition_shape: tuple[int, ...] | None = None,
) -> DatasetInfo:
    """Describes examples by the shape of one; only images have levels, and vectors columns."""
    if len(shape) == 1:
        return DatasetInfo(name, shape, None, num_classes, "vector", columns, condition_shape)
    return DatasetInfo(name, shape, levels, num_classes, "image", condition_shape=condition_shape)


def count_classes(labels: np.ndarray | None) -> int | None:
    """Number of classes of checked labels [N], or None without labels."""
    return None if labels is None else int(labels.max()) + 1


def _plain(values: Any, name: str) -> np.ndarray:
    """An array of what came, which hides nothing: no ragged rows, and no masked values."""
    if np.ma.is_masked(values):
        raise DatasetError(f"{name} holds masked values, where every value was expected.")
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:  # ragged lists, for instance
        raise DatasetError(f"{name} holds {type(values).__name__} that is no array.") from error


def _first(wrong: np.ndarray) -> tuple[int, ...] | None:
    """Place of the first value that is marked."""
    if not wrong.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))


def _at(
    x: np.ndarray,
    place: tuple[int, ...],
    columns: Sequence[str] | None = None,
    part: Part | None = None,
) -> str:
    """A value and its place, for an error."""
    row, count = (place[0], len(x)) if part is None else (part.numbers[place[0]], part.total)
    where = f"{x[place].item():g} in {_row(row, count)}"
    if len(place) > 2:
        return where
    column = place[1]
    return f"{where}, column {(columns[column] if columns else column)!r}"


def _row(row: int, count: int) -> str:
    return f"row {row} of 0..{count - 1}"
