"""Tables of numbers as vectors: `.csv`, `.tsv` and `.parquet` files."""

from __future__ import annotations

import codecs
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tfp_realnvp.datasets.array_checks import (
    check_examples,
    check_labels,
    count_classes,
    described,
)
from tfp_realnvp.datasets.base import (
    SPLITS,
    Arrays,
    DatasetError,
    DatasetInfo,
    PathLike,
    Source,
    reason,
)
from tfp_realnvp.datasets.splitting import cut_in_order

if TYPE_CHECKING:
    import pyarrow as pa

_CSV, _TSV, _GZIP, _PARQUET = ".csv", ".tsv", ".gz", ".parquet"
SUFFIXES = (_CSV, _CSV + _GZIP, _TSV, _TSV + _GZIP, _PARQUET)

_LABEL_COLUMNS = ("label", "labels")
# Bytes that are parsed at once: no line may be longer.
_BLOCK = 1 << 24


class Table(Source):
    """The source of a table, which is cut into the first 80, the next 10 and the last 10 percent.

    Every column is one component of the vectors and must hold finite numbers, but for a
    column `label` or `labels` (in any case), which holds the classes: integers from 0. The
    first line of a `.csv` (with commas) or `.tsv` file (with tabs) names the columns; it is
    UTF-8, and may be compressed as `.csv.gz`.
    """

    def __init__(self, path: Path, name: str, data_dir: PathLike | None) -> None:
        super().__init__(name, data_dir)
        self._x, self._labels, self._columns = _read(name, path)
        self._rows = cut_in_order(len(self._x))

    def arrays(self, split: str) -> Arrays:
        """See `Source.arrays`."""
        rows, count = self._rows[split], len(self._x)
        if not len(rows):
            raise DatasetError(
                f"The split {split!r} of {self.name} has no examples: the file holds {count}."
            )
        return self._x[rows], None if self._labels is None else self._labels[rows]

    def info(self) -> DatasetInfo:
        """See `Source.info`."""
        classes = count_classes(self._labels)
        return described(self.name, self._x.shape[1:], classes, columns=self._columns)

    def splits(self) -> tuple[str, ...]:
        """See `Source.splits`."""
        return tuple(split for split in SPLITS if len(self._rows[split]))


def _read(name: str, path: Path) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """float32 vectors [N, D], int64 labels [N] or None, and the names of the D columns."""
    with path.open("rb") as file:
        read = _read_parquet if path.name.lower().endswith(_PARQUET) else _read_delimited
        table = read(name, path, file)
    try:
        table = table.rename_columns([column.strip() for column in table.column_names])
        label_columns, columns = _columns(name, table.column_names)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{name} has names of columns that are not in UTF-8.") from error
    if not table.num_rows:
        raise DatasetError(f"{name} holds no rows below the names of its columns.")
    x = np.stack([_numbers(name, column, table[column]) for column in columns], axis=1)
    vectors = check_examples(x, name, columns=columns)
    if not label_columns:
        return vectors, None, columns
    column = label_columns[0]
    labels = _numbers(name, column, table[column])
    return vectors, check_labels(labels, len(x), f"Column {column!r} of {name}"), columns


def _read_parquet(name: str, path: Path, file: BinaryIO) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    del path
    try:
        return pq.ParquetFile(file).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"{name} cannot be read as Parquet: {reason(error)}.") from error


def _read_delimited(name: str, path: Path, file: BinaryIO) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise DatasetError(f"{name} is in UTF-16, where UTF-8 was expected.")
    file.seek(0)
    plain = path.name.lower().removesuffix(_GZIP)
    ragged = []

    def stop(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        return csv.read_csv(
            file if plain == path.name.lower() else pa.CompressedInputStream(file, "gzip"),
            # One thread: the others do not know the numbers of rows.
            read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=csv.ParseOptions(
                delimiter="\t" if plain.endswith(_TSV) else ",", invalid_row_handler=stop
            ),
            convert_options=csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        if not ragged:
            raise DatasetError(f"{name} cannot be read as a table: {reason(error)}.") from error
        row = ragged[0]
        raise DatasetError(
            f"The number of values in row {row.number - 2} of {name} (rows count from 0, below the "
            f"header) is {row.actual_columns}, where {row.expected_columns} were expected."
        ) from error


def _columns(name: str, found: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Names of the columns of labels, one at most, and of numbers."""
    index = next((i for i, column in enumerate(found) if _is_index(column)), None)
    if index is not None:
        raise DatasetError(
            f"{name} has no name for its column {index}, but {found[index]!r}: pandas writes its "
            "index so, unless told index=False."
        )
    repeated = next((column for column, count in Counter(found).items() if count > 1), None)
    numbers = [column for column in found if _is_number(column)]
    # Tables made of arrays have columns 0, 1, and so on.
    if numbers != [str(i) for i in range(len(numbers))]:
        raise DatasetError(
            f"{name} has no header: its first line holds {numbers[0]!r}, where the names of the "
            "columns were expected."
        )
    if repeated is not None:
        raise DatasetError(f"{name} has more than one column {repeated!r}.")
    labels = [column for column in found if column.lower() in _LABEL_COLUMNS]
    columns = tuple(column for column in found if column not in labels)
    if len(labels) > 1:
        raise DatasetError(
            f"{name} has the columns {' and '.join(labels)}, where one was expected."
        )
    if not columns:
        raise DatasetError(f"{name} has no columns of numbers: its columns are {found}.")
    return labels, columns


def _numbers(name: str, column: str, values: pa.ChunkedArray) -> np.ndarray:
    """The values of a column, if each is a number."""
    import pyarrow as pa

    count = len(values)
    if values.null_count:
        row = values.is_null().index(True).as_py()
        raise DatasetError(
            f"{name} has no value in row {row} of 0..{count - 1}, column {column!r}, where a "
            "number was expected."
        )
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    numbers = values.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind in "biuf":
        return numbers
    row = next((i for i, value in enumerate(numbers) if not _is_number(value)), 0)
    what = "bytes that are not UTF-8" if isinstance(numbers[row], bytes) else repr(numbers[row])
    raise DatasetError(
        f"{name} holds {what} in row {row} of 0..{count - 1}, column {column!r} (of type "
        f"{values.type}), where a number was expected."
    )


def _is_index(column: str) -> bool:
    return not column or column.startswith("__index_level_")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
