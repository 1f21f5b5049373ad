"""Whatever a file holds: arrays in the promised form, or one sentence."""

import contextlib
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tfp_realnvp import datasets

fuzz = settings(derandomize=True, deadline=None, max_examples=40)

DTYPES = "?,i1,u1,i2,i8,u8,f2,f4,f8,c8,U2,S2,M8[s]"
KEYS = "x,x_train,x_val,x_test,y,y_train,y_val,y_test,levels,other"


@pytest.fixture(autouse=True)
def _no_other_cache(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def arrays(max_side=12):
    shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=max_side)
    plain = hnp.arrays(
        st.sampled_from(["u1", "f4", "f8"]), st.tuples(st.integers(1, 40), st.just(3))
    )
    small = hnp.arrays("u1", st.tuples(st.integers(1, 20), st.just(2), st.just(2)))
    return st.one_of(plain, small, hnp.arrays(st.sampled_from(DTYPES.split(",")), shapes))


@contextlib.contextmanager
def place():
    """A folder for the data and, as its data folder, the cache."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def check(name, **options):
    """Asks for everything about a data set; returns whether there was anything to be had."""
    options["data_dir"] = Path(name).parent / "data"
    options["data_dir"].mkdir(exist_ok=True)
    answers = []
    for ask in (datasets.splits, datasets.info):
        with warnings.catch_warnings(), told():
            warnings.simplefilter("ignore", datasets.DatasetWarning)
            answers.append(ask(name, **options))
    with warnings.catch_warnings(), told():
        warnings.simplefilter("ignore", datasets.DatasetWarning)
        for split in datasets.splits(name, **options):
            x, labels = datasets.load_arrays(name, split, **options)
            _, info = answers  # what can be loaded can be described
            assert len(x) and x.shape[1:] == info.event_shape
            assert x.dtype == (np.float32 if info.kind == "vector" else np.uint8)
            assert np.isfinite(x).all() and x.max() < (info.levels or np.inf)
            assert (labels is None) == (info.num_classes is None)
            if labels is not None:
                assert labels.shape == (len(x),) and labels.dtype == np.int64
                assert labels.min() >= 0 and labels.max() < info.num_classes
            if info.columns is not None:
                assert len(info.columns) == x.shape[1]
        return True
    return False


@contextlib.contextmanager
def told():
    try:
        yield
    except datasets.DatasetError as error:
        message = str(error)
        assert len(message.splitlines()) == 1 and message.endswith("."), message


@fuzz
@given(arrays())
def test_npy(x):
    with place() as folder:
        np.save(folder / "x.npy", x)
        check(folder / "x.npy")


@fuzz
@given(
    st.dictionaries(
        st.sampled_from(KEYS.split(",")),
        arrays(),
        max_size=5,
    )
)
def test_npz(kept):
    with place() as folder:
        np.savez(folder / "x.npz", **kept)
        check(folder / "x.npz")


@fuzz
@given(arrays(max_side=40), st.integers(0, 2**32), st.binary(max_size=4))
def test_damaged_arrays(x, start, replaced):
    with place() as folder:
        np.savez(folder / "x.npz", x_train=x)
        np.save(folder / "x.npy", x)
        for file in ("x.npz", "x.npy"):
            whole = (folder / file).read_bytes()
            at = start % len(whole)
            (folder / file).write_bytes(whole[:at] + replaced + whole[at + 3 :])
            check(folder / file)


CELLS = st.one_of(
    st.integers(0, 3).map(str),
    st.floats(allow_nan=True).map(repr),
    st.sampled_from(["", "1", "2.5", "nan", "1e39", "true", "2020-01-01", '"', '"1"', "\u2028"]),
    st.text(max_size=3),
)


@fuzz
@given(
    st.lists(st.one_of(st.sampled_from(["a", "b", "label", "0"]), CELLS), max_size=4),
    st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6),
    st.sampled_from(["x.csv", "x.tsv", "x.csv.gz"]),
)
def test_delimited(header, rows, file):
    with place() as folder:
        text = "\n".join(",".join(row) for row in [header, *rows])
        (folder / file).write_bytes(text.encode(errors="surrogatepass"))
        check(folder / file)


@fuzz
@given(hnp.arrays(st.sampled_from(["i8", "f8", "u8"]), (12, 3)), st.booleans())
def test_numbers_in_tables(x, labelled):
    with place() as folder:
        text = ["a,b,label" if labelled else "a,b,c"] + [",".join(map(str, row)) for row in x]
        (folder / "x.csv").write_text("\n".join(text))
        names = text[0].split(",")
        pq.write_table(pa.table(dict(zip(names, x.T, strict=True))), folder / "x.parquet")
        assert check(folder / "x.csv") == check(folder / "x.parquet")


COLUMNS = st.one_of(
    hnp.arrays(st.sampled_from(["i1", "i8", "u8", "f2", "f4", "f8", "?", "M8[ms]"]), 12).map(
        pa.array
    ),
    st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=12, max_size=12).map(pa.array),
    st.lists(st.text(max_size=2), min_size=12, max_size=12).map(pa.array),
    st.lists(st.lists(st.integers(0, 5), max_size=2), min_size=12, max_size=12).map(pa.array),
)


@fuzz
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "label", "", "5"]), COLUMNS), max_size=3))
def test_parquet(columns):
    with place() as folder:
        names = [name for name, _ in columns]
        table = pa.table([values for _, values in columns], names=names)
        pq.write_table(table, folder / "x.parquet")
        check(folder / "x.parquet")


NAMES = st.builds(
    lambda stem, suffix: stem.replace("/", "_").replace("\0", "_")[:40] + suffix,
    st.one_of(st.text(st.characters(), max_size=8), st.sampled_from(["a", "train", "\udcff"])),
    st.sampled_from([".png", ".PNG", ".bmp", ".tif", ".gif", ".txt", ""]),
)
FOLDERS = st.sampled_from(["", "train", "test", "val", "cat", "train/cat", ".hidden", "a\nb"])
CONTENTS = st.one_of(
    st.tuples(
        st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"]),
        st.sampled_from([(3, 2), (3, 2), (2, 3)]),
        st.integers(0, 255),
    ),
    st.binary(max_size=30),
)


def write_image(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    mode, size, value = content
    image = Image.new(mode, size, value if len(Image.new(mode, size).getbands()) == 1 else None)
    image.save(
        path, {".bmp": "BMP", ".gif": "GIF"}.get(path.suffix, "PNG") if mode in "LP" else "TIFF"
    )


@fuzz
@given(
    st.lists(st.tuples(FOLDERS, NAMES, CONTENTS), max_size=6),
    st.sampled_from([{}, {"image_size": (2, 2)}, {"channels": 3}, {"background": "white"}]),
)
def test_images(files, options):
    with place() as folder:
        images = folder / "images"
        images.mkdir()
        for inner, name, content in files:
            path = images / inner / name
            with contextlib.suppress(UnicodeEncodeError):
                if name not in ("", ".", "..") and not path.is_dir():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_image(path, content)
        found = check(images, **options)
        with zipfile.ZipFile(folder / "images.zip", "w") as archive:
            for path in sorted(images.rglob("*")):
                if path.is_file():
                    name = path.relative_to(images).as_posix()
                    archive.writestr(name.encode(errors="replace").decode(), path.read_bytes())
        # Of a zip, backslashes are separators, and control characters are refused.
        assert check(folder / "images.zip", **options) == found or any(
            "\\" in name or not (inner + name).isprintable() for inner, name, _ in files
        )


@fuzz
@given(
    st.binary(max_size=60),
    st.sampled_from(["npy", "npz", "csv", "tsv", "parquet", "zip", "csv.gz"]),
)
def test_any_bytes(content, suffix):
    with place() as folder:
        path = folder / f"x.{suffix}"
        path.write_bytes(content)
        check(path)
        assert os.path.exists(path)
