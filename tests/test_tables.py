"""CSV and Parquet files as vectors."""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tfp_realnvp import datasets


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def frame(rng):
    frame = pd.DataFrame(rng.normal(size=(20, 2)), columns=["width", "height in mm"])
    return frame.assign(label=np.arange(20) % 3, count=np.arange(20, dtype=np.uint8))


WRITERS = {
    "x.csv": lambda frame, path: frame.to_csv(path, index=False),
    "x.CSV": lambda frame, path: frame.to_csv(path, index=False, lineterminator="\r\n"),
    "bom.csv": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig"),
    "x.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "X.CSV.GZ": lambda frame, path: frame.to_csv(path, index=False, compression="gzip"),
    "X.TSV": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "x.tsv.csv": lambda frame, path: frame.to_csv(path, index=False),
    "x.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "x.y.tsv.gz": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "x.parquet": lambda frame, path: frame.to_parquet(path),
    "polars.csv": lambda frame, path: pl.from_pandas(frame).write_csv(path),
    "polars.parquet": lambda frame, path: pl.from_pandas(frame).write_parquet(path),
}


@pytest.mark.parametrize("file", WRITERS)
def test_tables_are_vectors_with_names_and_labels(tmp_path, frame, file):
    WRITERS[file](frame, tmp_path / file)
    info = datasets.info(tmp_path / file)
    columns = ("width", "height in mm", "count")
    assert info == datasets.DatasetInfo(
        name=str(tmp_path / file),
        event_shape=(3,),
        levels=None,
        num_classes=3,
        kind="vector",
        columns=columns,
    )
    assert datasets.splits(file, data_dir=tmp_path) == datasets.SPLITS
    parts = [datasets.load_arrays(tmp_path / file, split) for split in datasets.SPLITS]
    assert [len(x) for x, _ in parts] == [16, 2, 2]
    x, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert x.dtype == np.float32 and labels.dtype == np.int64
    np.testing.assert_allclose(x, frame[list(columns)].to_numpy(), rtol=1e-6)
    np.testing.assert_array_equal(labels, frame["label"])


def test_columns_of_other_names_are_no_labels(tmp_path):
    path = write(tmp_path / "points.csv", "x,y\n1,2\n3,4\n5,6\n")
    info = datasets.info(path)
    assert (info.columns, info.num_classes, info.event_shape) == (("x", "y"), None, (2,))
    path = write(tmp_path / "spaces.csv", "a , Label\n1 , 0\n3, 1\n")
    info = datasets.info(path)
    assert (info.columns, info.num_classes) == (("a",), 2)
    # What pandas writes of an array without names.
    path = write(tmp_path / "array.csv", "0,1,label\n1,2,0\n3,4,1\n")
    assert datasets.info(path).columns == ("0", "1")
    assert datasets.splits(path) == ("train",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "cannot be read as a table: Empty CSV file"),
        ("a,b\n", "holds no rows below the names"),
        ("\n\n", "cannot be read as a table"),
        ("label\n1\n", "has no columns of numbers: its columns are .'label'."),
        ("1.5,2\n3,4\n", "has no header: its first line holds '1.5'"),
        ("5,3,setosa\n3,4,setosa\n", "has no header: its first line holds '5'"),
        ("a,nan\n3,4\n", "has no header: its first line holds 'nan'"),
        (",a\n0,4\n", r"no name for its column 0, but '': pandas .* index=False"),
        ("a,b,a\n1,2,3\n", "more than one column 'a'"),
        ("a,label,labels\n1,2,3\n", "has the columns label and labels, where one was expected"),
        ("a,b\n1,2\n\n3\n", r"in row 1 of .*x.csv \(rows count from 0, .* is 1, where 2 were exp"),
        ("a,b\n1,2\n3,4,5\n", r"in row 1 of .*x.csv .* is 3, where 2 were expected"),
        ("a;b\n1;2\n3;4\n", "holds '1;2' in row 0 of 0..1, column 'a;b'"),
        ("a,b\n1,2\n3,\n", r"no value in row 1 of 0..1, column 'b'"),
        ("a,b\n1,2\n3,NA\n", r"holds 'NA' in row 1 of 0..1, column 'b'"),
        ("a,b\n1,2\n3,nan\n", r"NaN or infinite: nan in row 1 of 0..1, column 'b'"),
        ("a,b\n1,2\n3,-inf\n", r"NaN or infinite: -inf in row 1 of 0..1, column 'b'"),
        ("a,b\n1,2\n1e39,2\n", r"beyond float32's .* 1e\+39 in row 1 of 0..1, column 'a'"),
        ("a,b\n1,2\n2020-01-01,2\n", r"'2020-01-01' in row 1 of 0..1, column 'a'"),
        ("a\n2020-01-01\n", r"in row 0 of 0..0, column 'a' \(of type date32"),
        ("a,label\n1,0\n2,0.5\n", "Column 'label' of .* holds the label 0.5 in row 1 of 0..1"),
        ("a,label\n1,0\n2,-1\n", "the label -1 in row 1 of 0..1, where integers in 0..65535"),
        ("a,label\n1,0\n2,\n", "no value in row 1 of 0..1, column 'label'"),
        ("a,label\n1,cat\n2,dog\n", "holds 'cat' in row 0 of 0..1, column 'label'"),
        ("a,b\n1,é\n".encode("latin-1"), "bytes that are not UTF-8 in row 0 of 0..0, column 'b'"),
        ("é,b\n1,2\n".encode("latin-1"), "names of columns that are not in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "is in UTF-16, where UTF-8 was expected"),
        (b"\x00\xff\x00", "x.csv"),
    ],
)
def test_faults_of_tables_are_told_by_column_and_row(tmp_path, text, sentence):
    path = write(tmp_path / "x.csv", text)
    for ask in (datasets.info, datasets.splits, datasets.load_arrays):
        with pytest.raises(datasets.DatasetError, match=sentence) as caught:
            ask(path)
        assert "x.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_faults_of_parquet_files_are_told(tmp_path):
    path = tmp_path / "x.parquet"
    frames = {
        "column 'day'": pd.DataFrame({"day": pd.to_datetime(["2020-01-01"])}),
        "'c' in row 0 of 0..0, column 'a'": pd.DataFrame({"a": ["c"]}),
        "no value in row 1 of 0..1, column 'a'": pd.DataFrame({"a": pd.array([1, None], "Int64")}),
        "no name for its column 1, but '__index_level_0__'": pd.DataFrame({"a": [1]}, index=[7]),
        "column 'a' .of type list": pd.DataFrame({"a": [[1.0, 2.0]]}),
        "1e.300 in row 0 of 0..0, column 'a'": pd.DataFrame({"a": [1e300]}),
        "holds no rows": pd.DataFrame({"a": []}),
    }
    for sentence, frame in frames.items():
        frame.to_parquet(path)
        with pytest.raises(datasets.DatasetError, match=sentence):
            datasets.load_arrays(path)
    whole = path.read_bytes()
    for damaged in (b"", b"PAR1", whole[: len(whole) // 2], b"no parquet file"):
        write(path, damaged)
        with pytest.raises(datasets.DatasetError, match=r"x\.parquet cannot be read as Parquet: "):
            datasets.load_arrays(path)


def test_damaged_compression_is_told(tmp_path):
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    for damaged in (whole[:-20], b"no gzip file"):
        path = write(tmp_path / "x.csv.gz", damaged)
        with pytest.raises(datasets.DatasetError, match=r"x\.csv\.gz cannot be read as a table: "):
            datasets.load_arrays(path)
