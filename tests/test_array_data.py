"""Arrays in files and from functions: what is refused, by which sentence."""

import contextlib
import io
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfp_realnvp import datasets

ASKS = (datasets.load_arrays, datasets.info, datasets.splits)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def from_file(tmp_path, x, labels, **more):
    kept = {"x": x, **more} if labels is None else {"x": x, "y": labels, **more}
    np.savez(tmp_path / "x.npz", **kept)
    return tmp_path / "x.npz"


def from_function(tmp_path, x, labels):
    datasets.register("given", lambda split, data_dir: (x, labels), splits=["train"])
    return "given"


@pytest.fixture(params=[from_file, from_function])
def make(request, tmp_path):
    return lambda x, labels=None: request.param(tmp_path, x, labels)


def refused(name, sentence, ask=datasets.load_arrays):
    with pytest.raises(datasets.DatasetError, match=sentence) as caught:
        ask(name)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def vectors(row, column, value, dtype=np.float64):
    x = np.ones((20, 3), dtype)
    x[row, column] = value
    return x


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (vectors(2, 1, np.nan), "NaN or infinite: nan in row 2 of 0..(15|19), column 1"),
        (vectors(3, 0, -np.inf), "NaN or infinite: -inf in row 3 of 0..(15|19), column 0"),
        (vectors(4, 2, 1e39), r"beyond float32's 3.4e\+38, .* 1e\+39 in row 4 of .*, column 2"),
        (vectors(4, 2, -1e39), r"would become infinite: -1e\+39 in row 4 of .*, column 2"),
        (vectors(4, 2, 1e300, np.longdouble), r"1e\+300 in row 4 of .*, column 2"),
        (np.full((20, 4, 4), np.inf), "NaN or infinite: inf in row 0"),
        (np.full((20, 4, 4), 0.5), "images with fractions such as 0.5 in row 0 of"),
        (np.full((20, 4, 4), -1, np.int8), r"pixels in -1\.\.-1, where 0\.\.255 were expected"),
        (np.full((20, 4, 4), 2**63, np.uint64), r"pixels in 9223372036854775808\.\."),
        (np.full((20, 4, 4), 1e30), r"where 0\.\.255 were expected"),
        (np.zeros((0, 3)), r"holds no examples: its shape is \[0, 3\]"),
        (np.zeros((20, 0)), r"examples without values: its shape is \[20, 0\]"),
        (np.zeros((20, 0, 4)), r"examples without values: its shape is \[20, 0, 4\]"),
        (np.zeros((20, 4, 4, 0), np.uint8), r"examples without values"),
        (np.zeros((20, 4, 4, 5), np.uint8), "with at most 4 channels, last"),
        (np.zeros(20), r"shape \[20\], where images"),
        (np.float64(3), r"shape \[\], where images"),
        (np.zeros((2, 2, 2, 2, 2)), r"shape \[2, 2, 2, 2, 2\], where images"),
        (np.zeros((20, 3), complex), "type complex128, where real numbers were expected"),
        (np.zeros((20, 3), "M8[s]"), r"type datetime64\[s\], where numbers were expected"),
        (np.zeros((20, 3), "m8[s]"), r"type timedelta64\[s\], where numbers were expected"),
        (np.zeros((20, 3), "i4,f4"), "where numbers were expected"),
        (np.zeros((20, 3), "U3"), "type <U3, where numbers were expected"),
        (np.zeros((20, 3), object), "Python objects|type object, where numbers"),
    ],
)
def test_examples_are_refused_by_value_and_row(make, x, sentence):
    refused(make(x), sentence)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0.0, np.nan, 1.0], "the label nan in row 1 of 0..2, where integers in 0..65535 were"),
        ([0.0, np.inf, 1.0], "the label inf in row 1"),
        ([0.0, 1.0, 0.5], "the label 0.5 in row 2"),
        ([0, 1, -1], "the label -1 in row 2"),
        ([0, 1, 10**9], "the label 1000000000 in row 2"),
        ([0, 1, 1e8], "the label 100000000.0 in row 2"),
        ([0, 1, 65_536], "the label 65536 in row 2"),
        (np.array([0, 1, 2**64 - 1], np.uint64), "the label 18446744073709551615 in row 2"),
        (["cat", "dog", "cat"], "labels of type <U3, where integers in 0..65535"),
        (np.zeros(3, "M8[s]"), "labels of type datetime64"),
        ([0j, 0j, 0j], "labels of type complex128"),
        ([0, 1], r"labels of shape \[2\] for 3 examples"),
        ([[0, 1], [1, 0], [0, 1]], r"labels of shape \[3, 2\] for 3 examples"),
        (0, r"labels of shape \[\] for 3 examples"),
    ],
)
def test_labels_are_refused_by_value_and_row(make, labels, sentence):
    name = make(np.ones((3, 2)), np.asarray(labels))
    for ask in (datasets.load_arrays, datasets.info):
        refused(name, sentence, ask)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u8", "f2", "f4", "g"])
def test_types_of_integer_labels_do_not_matter(make, dtype):
    top = 1 if dtype == "?" else 127 if dtype == "i1" else 200
    labels = np.array([0, top, 1] * 10, dtype)
    name = make(np.ones((30, 2)), labels)
    assert datasets.info(name).num_classes == top + 1
    _, read = datasets.load_arrays(name)
    assert read.dtype == np.int64
    np.testing.assert_array_equal(read, labels[: len(read)].astype(int))
    assert datasets.info(make(np.ones((30, 2)), labels[:, None])).num_classes == top + 1


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "f2", "f8", "?"])
@pytest.mark.parametrize("levels", [2, 200, 256])
def test_levels_bound_pixels_of_every_type(tmp_path, dtype, levels):
    top = min(levels - 1, 1 if dtype == "?" else 127)
    x = np.full((10, 4, 4), top, dtype)
    path = from_file(tmp_path, x, None, levels=np.int8(2) if levels == 2 else levels)
    assert datasets.info(path).levels == levels
    read, _ = datasets.load_arrays(path)
    assert read.dtype == np.uint8 and (read == top).all()
    if levels == 2 and dtype != "?":
        path = from_file(tmp_path, np.full((10, 4, 4), 2, dtype), None, levels=2)
        refused(path, r"pixels in 2\.\.2, where 0\.\.1 were expected")


@pytest.mark.parametrize(
    "levels", [1, 257, -3, 6.0, np.nan, True, "6", [6, 6], [], np.uint64(2**63), 6j]
)
def test_levels_of_other_kinds_are_refused(tmp_path, levels):
    path = from_file(tmp_path, np.zeros((10, 4, 4), np.uint8), None, levels=np.asarray(levels))
    for ask in (datasets.load_arrays, datasets.info):
        refused(path, r"'levels' in .* holds .*, where an integer in 2\.\.256 was expected", ask)


def test_keys_that_are_not_read_are_said(tmp_path):
    x = np.zeros((20, 3))
    path = tmp_path / "x.npz"
    np.savez(path, x_train=x, x_tset=x[:3], levels=7)
    with pytest.warns(datasets.DatasetWarning, match="not read are 'x_tset', 'levels'"):
        datasets.load_arrays(path)
    np.savez(path, x_train=x, x_test=x, y_train=np.arange(20) % 2)
    with pytest.warns(datasets.DatasetWarning, match="labels are not used, for 'x_test' has none"):
        assert datasets.load_arrays(path)[1] is None
    assert datasets.info(path).num_classes is None
    np.savez(path, x_test=x)  # the one array of the file
    assert datasets.splits(path) == datasets.SPLITS
    np.savez(path, x_test=x, x_val=x)
    refused(path, "has the keys 'x_test', 'x_val', where 'x_train'")


def test_damaged_array_files_are_told(tmp_path):
    x = np.arange(60.0).reshape(20, 3)
    np.savez_compressed(tmp_path / "x.npz", x=x)
    np.save(tmp_path / "x.npy", x)
    for file in ("x.npz", "x.npy"):
        whole = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(whole)
        for damaged in (b"", b"PK\x03\x04", b"\x93NUMPY", b"some text", whole[: len(whole) // 2]):
            (tmp_path / file).write_bytes(damaged)
            for ask in ASKS:
                refused(tmp_path / file, f"{file} cannot be read as arrays: ", ask)
    header = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (10**15, 3)}
    np.lib.format.write_array_header_1_0(header, shape)
    (tmp_path / "x.npy").write_bytes(header.getvalue())
    refused(tmp_path / "x.npy", r"x\.npy cannot be read as arrays: ")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    refused(tmp_path / "x.npz", r"'x' in .*x\.npz cannot be read as arrays: ")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("inner.zip", b"PK")
    refused(tmp_path / "x.npz", r"has the keys \(none\), where 'x_train'")
    whole = bytearray(from_file(tmp_path, x, None).read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "x.npz").write_bytes(whole)
    refused(tmp_path / "x.npz", "cannot be read as arrays: Bad CRC-32")


@contextlib.contextmanager
def unprivileged():
    """Reads as a user who may not read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("file", ["x.npy", "x.npz", "x.csv", "x.parquet", "x.zip", "x", "x/a.png"])
def test_files_that_may_not_be_read_are_named(file, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = Path(folder, file)
        if file == "x":
            path.mkdir(mode=0)
        else:
            path.parent.mkdir(exist_ok=True)
            path.touch(mode=0)
        asked = path.parent if file == "x/a.png" else path
        monkeypatch.setenv("XDG_CACHE_HOME", str(Path(folder, "cache")))
        with unprivileged():
            for ask in (datasets.load_arrays, datasets.info):
                refused(asked, f"{path} cannot be read: Permission denied", ask)


def test_paths_that_lead_nowhere_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", np.ones((20, 3)))
    for name in ("~/x.npy", b"x.npy", Path("x.npy")):
        assert datasets.info(name).event_shape == (3,)
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "notes.txt").touch()
    cases = {
        "": "There is no data set ''; the known ones are",
        "~/y.npy": "There is no file or folder ~/y.npy",
        "~nobody-of-this-name/x.npy": "There is no home folder for the ~ in ~nobody",
        "a" * 300 + ".npy": r"a\.npy cannot be read: File name too long",
        "nul\0.npy": "There is no file or folder nul",
        "folder.npz": r"folder\.npz holds no \.bmp, .* or \.webp files",
        "notes.txt": r"notes\.txt is no data set: give a folder or a zip of images, a folder",
        "/dev/null": "/dev/null is neither a file nor a folder",
    }
    for name, sentence in cases.items():
        for ask in ASKS:
            refused(name, sentence, ask)


def register(arrays, **options):
    datasets.register("given", lambda split, data_dir: arrays, **options)
    return "given"


def test_functions_must_give_pairs_of_arrays():
    x = np.ones((4, 2), np.float32)
    refused(register(x), "split 'train' of given came as ndarray, where a pair of examples and")
    refused(register((x,)), "came as tuple, where a pair")
    refused(register(([[1, 2], [3]], None)), "holds list that is no array")
    masked = np.ma.masked_array(x, mask=np.eye(4, 2, dtype=bool))
    refused(register((masked, None)), "holds masked values")
    refused(register((x, np.ma.masked_array([0, 1, 2, 3], mask=[0, 1, 0, 0]))), "masked values")
    read, labels = datasets.load_arrays(register(([[1, 2], [3, 4]], [0, 1])))
    assert read.dtype == np.float32 and labels.dtype == np.int64
    assert datasets.load_arrays(register((tf.ones((4, 2)), tf.zeros(4, tf.int8))))[0].shape == (
        4,
        2,
    )

    def fail(split, data_dir):
        raise FileNotFoundError(2, "No such file or directory", "measured.dat")

    datasets.register("given", fail)
    with pytest.raises(
        datasets.DatasetNotFoundError, match=r"measured\.dat cannot be read: No such"
    ):
        datasets.load_arrays("given")


def test_functions_are_held_to_their_description():
    x, labels = np.full((4, 4, 4, 1), 20, np.uint8), np.array([0, 1, 2, 3])

    def info(shape=(4, 4, 1), levels=256, num_classes=4):
        return datasets.DatasetInfo("given", shape, levels, num_classes, "image")

    assert datasets.load_arrays(register((x, labels), info=info()))[0].shape == x.shape
    refused(
        register((x, labels), info=info(shape=(5, 5, 1))), r"\[4, 4, 1\], where the \[5, 5, 1\]"
    )
    refused(register((x, labels), info=info(levels=17)), r"pixels in 20\.\.20, where 0\.\.16 were")
    refused(register((x, labels), info=info(num_classes=3)), "the label 3 in row 3 .* in 0..2 were")
    refused(register((x, None), info=info()), "has no labels, where 4 classes were expected")
    with pytest.raises(datasets.DatasetError, match=r"needs 2 to 256 levels, .*; got 65536"):
        register((x, labels), info=info(levels=65_536))
    columns = datasets.DatasetInfo("given", (2,), None, None, "vector", ("width", "height"))
    refused(register((vectors(1, 1, np.nan)[:, :2], None), info=columns), "row 1 .* 'height'")


def test_splits_of_a_function_agree_in_shape():
    sizes = {"train": 3, "validation": 3, "test": 4}
    datasets.register("given", lambda split, data_dir: (np.ones((5, sizes[split])), None))
    assert datasets.load_arrays("given", "validation")[0].shape == (5, 3)
    with pytest.raises(
        datasets.DatasetError, match=r"'test' of given .* \[4\], where the \[3\] of"
    ):
        datasets.load_arrays("given", "test")
