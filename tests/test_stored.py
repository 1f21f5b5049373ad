"""Data past memory: rows that stay on disk, from every kind of file to a run that resumes."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfp_realnvp as nvp
from tfp_realnvp import datasets
from tfp_realnvp.core.stored import StoredRows, loaded, parts_of, rows_of_file
from tfp_realnvp.datasets import npy

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 4, 4, 1), np.uint8)
SOME = np.array([3, 4, 5, 39, 0, 0, 38])


def files(folder):
    """The same images in each kind of file of which rows are read one by one."""
    np.save(folder / "images.npy", IMAGES)
    np.save(folder / "wide.npy", IMAGES.astype(">i8"))
    np.savez(
        folder / "images.npz",
        x_train=IMAGES,
        x_test=IMAGES[:5],
        y_train=np.arange(40) % 3,
        y_test=np.arange(5) % 3,
    )
    (folder / "pictures").mkdir()
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for i, image in enumerate(IMAGES):
            path = folder / "pictures" / f"{i:02}.png"
            Image.fromarray(image[..., 0]).save(path)
            archive.write(path, path.name)
    return [
        folder / name
        for name in ("images.npy", "wide.npy", "images.npz", "pictures", "pictures.zip")
    ]


def test_rows_are_those_of_an_array():
    rows = StoredRows(lambda numbers: IMAGES[numbers], IMAGES.shape, np.uint8)
    assert (len(rows), rows.ndim, rows.nbytes) == (40, 4, IMAGES.nbytes)
    for index in (SOME, SOME.tolist(), 7, -1 % 40, slice(None), slice(3, 30, 5), slice(-4, None)):
        np.testing.assert_array_equal(rows[index], IMAGES[index])
    some = np.arange(40) % 3 == 0
    for index in (-1, [-1, 0, -40], some, np.array([], int)):
        np.testing.assert_array_equal(rows[index], IMAGES[index])
    with pytest.raises(IndexError, match="There are 40 rows, got the numbers"):
        rows[[3, 40]]
    np.testing.assert_array_equal(np.asarray(rows), IMAGES)
    np.testing.assert_array_equal(rows.take(SOME)[2:4], IMAGES[SOME[2:4]])
    halves = rows.changed(lambda part, numbers: part[:, :2] + 0.5, (2, 4, 1), np.float64)
    np.testing.assert_array_equal(halves[SOME], IMAGES[SOME][:, :2] + 0.5)
    assert halves[:0].shape == (0, 2, 4, 1) and halves[:0].dtype == np.float64


def test_parts_are_all_rows_in_order(monkeypatch):
    monkeypatch.setattr("tfp_realnvp.core.stored.BYTES_AT_ONCE", 100)
    rows = StoredRows(lambda numbers: IMAGES[numbers], IMAGES.shape, np.uint8)
    parts = list(parts_of(rows))
    assert max(map(len, parts)) == 6
    np.testing.assert_array_equal(np.concatenate(parts), IMAGES)
    assert loaded(rows, memory=IMAGES.nbytes - 1) is rows
    assert isinstance(loaded(rows, memory=IMAGES.nbytes), np.ndarray)


def test_a_file_that_became_shorter_is_an_error(tmp_path):
    path = tmp_path / "raw"
    path.write_bytes(IMAGES.tobytes())
    rows = rows_of_file(path, offset=0, shape=IMAGES.shape, dtype=np.uint8)
    np.testing.assert_array_equal(rows[SOME], IMAGES[SOME])
    path.write_bytes(IMAGES[:39].tobytes())
    with pytest.raises(OSError, match="shorter than it was"):
        rows[SOME]


@pytest.mark.parametrize("which", range(5))
def test_every_kind_of_file_gives_the_same_rows_stored_and_loaded(tmp_path, which):
    path = files(tmp_path)[which]
    for split in datasets.splits(path):
        x, labels = datasets.load_arrays(path, split, tmp_path)
        stored, own = datasets.load_rows(path, split, tmp_path, memory=0)
        assert isinstance(stored, StoredRows) and stored.dtype == x.dtype == np.uint8
        np.testing.assert_array_equal(stored[:], x)
        np.testing.assert_array_equal(stored[[2, 0]], x[[2, 0]])
        np.testing.assert_array_equal(own, labels)
        assert isinstance(datasets.load_rows(path, split, tmp_path)[0], np.ndarray)


def test_options_are_done_row_by_row(tmp_path):
    path = files(tmp_path)[2]
    options = {"classes": [2, 0], "image_size": (2, 2)}
    x, labels = datasets.load_arrays(path, "train", **options)
    stored, own = datasets.load_rows(path, "train", memory=0, **options)
    assert isinstance(stored, StoredRows)
    np.testing.assert_array_equal(stored[:], x)
    np.testing.assert_array_equal(own, labels)


def test_what_cannot_be_read_by_row_is_loaded(tmp_path):
    np.savez_compressed(tmp_path / "packed.npz", x_train=IMAGES)
    np.save(tmp_path / "columns.npy", np.asfortranarray(IMAGES))
    for name in ("packed.npz", "columns.npy"):
        x, _ = datasets.load_rows(tmp_path / name, memory=0)
        assert isinstance(x, np.ndarray) and x.shape[1:] == (4, 4, 1)


def test_a_bad_row_is_found_by_its_number_when_it_is_read(tmp_path):
    vectors = RNG.normal(size=(100, 3))
    vectors[70, 1] = np.nan
    np.save(tmp_path / "vectors.npy", vectors)
    x, _ = datasets.load_rows(tmp_path / "vectors.npy", memory=0)
    assert x[:70].dtype == np.float32
    with pytest.raises(ValueError, match=r"nan in row 70 of 0\.\.79, column 1"):
        x[[3, 70]]


def test_a_damaged_zip_is_found_before_it_is_used(tmp_path):
    path = files(tmp_path)[2]
    whole = path.read_bytes()
    place = whole.index(IMAGES.tobytes()[:64]) + 5
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(datasets.DatasetError, match="cannot be read as arrays: Bad CRC-32"):
        datasets.load_rows(path, memory=0)


def test_a_registered_set_may_be_stored():
    def rows(split, data_dir):
        return StoredRows(lambda numbers: IMAGES[numbers], IMAGES.shape, np.uint8), None

    datasets.register("stored", rows)
    assert datasets.info("stored").event_shape == (4, 4, 1)
    assert isinstance(datasets.load_rows("stored", memory=0)[0], StoredRows)
    np.testing.assert_array_equal(datasets.load_arrays("stored")[0], IMAGES)


def test_load_streams_what_is_larger_than_memory(tmp_path, monkeypatch):
    path = files(tmp_path)[2]
    expected = list(datasets.load(path).as_numpy_iterator())
    monkeypatch.setattr("tfp_realnvp.datasets.registry.IN_MEMORY", 0)
    monkeypatch.setattr("tfp_realnvp.datasets.registry.loaded", lambda x: x)
    got = list(datasets.load(path).as_numpy_iterator())
    assert len(got) == len(expected)
    for (x, label), (y, other) in zip(expected, got, strict=True):
        np.testing.assert_array_equal(x, y)
        assert label == other


def test_batches_are_those_of_arrays(tmp_path):
    x, labels = datasets.load_arrays(files(tmp_path)[2], "train")
    stored, _ = datasets.load_rows(tmp_path / "images.npz", "train", memory=0)
    options = {"batch_size": 8, "seed": 3, "start_step": 2, "num_steps": 9, "flip": True}
    for one, other in zip(
        datasets.batches(x, labels, **options),
        datasets.batches(stored, labels, **options),
        strict=True,
    ):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("kind", ["map", "rows"])
def test_fit_reads_rows_as_it_needs_them(tmp_path, kind):
    path = files(tmp_path)[0]
    stored = npy.stored(path) if kind == "rows" else np.load(path, mmap_mode="r")
    weights = []
    for data in (IMAGES, stored):
        tf.keras.utils.set_random_seed(0)
        model = nvp.FlowModel(nvp.flows.build("uva_simple", (4, 4, 1), couplings=1, width=4))
        model.compile()
        model.fit(data, batch_size=16, epochs=2, shuffle=False, verbose=0)
        assert np.isfinite(model.evaluate(data, verbose=0, return_dict=True)["loss"])
        weights.append(np.concatenate([np.ravel(w) for w in model.get_weights()]))
    np.testing.assert_array_equal(*weights)


def test_a_run_is_the_same_whatever_its_memory(tmp_path):
    path = files(tmp_path)[2]
    config = nvp.runs.RunConfig(
        flow="uva_simple",
        dataset=str(path),
        epochs=2,
        batch_size=8,
        options={"couplings": 1, "width": 4},
    )
    runs = {}
    for memory in (0, 1e9):
        out = tmp_path / f"run{memory}"
        nvp.runs.train(config, out, verbose=False, tensorboard=False, memory=memory)
        runs[memory] = (
            (out / "best.keras").read_bytes(),
            json.loads((out / "data.json").read_text()),
        )
    assert runs[0][1] == runs[1e9][1]
    values = [nvp.load(tmp_path / f"run{memory}").trainable_variables for memory in (0, 1e9)]
    for one, other in zip(*values, strict=True):
        np.testing.assert_array_equal(one, other)
    more = nvp.runs.RunConfig(**{**vars(config), "epochs": 3})
    nvp.runs.train(
        more, tmp_path / "run1000000000.0", resume=True, verbose=False, tensorboard=False, memory=0
    )
