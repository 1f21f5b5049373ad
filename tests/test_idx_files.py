"""The raw idx.gz files, built by TFDS without a network."""

import gzip
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest

from tfp_realnvp import datasets
from tfp_realnvp.datasets.idx import FILES, NUM_EXAMPLES, find


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def numbered(count, first):
    """Images whose pixels tell their places in the file."""
    images = np.zeros([count, 28, 28], np.uint8)
    places = np.arange(first, first + count)
    for byte in range(3):
        images[:, 14, 10 + byte] = places >> (8 * byte)
    return images, (places * 7 % 10).astype(np.uint8)


def place(images):
    return sum(images[:, 14, 10 + byte, 0].astype(int) << (8 * byte) for byte in range(3))


def write_idx(path, array):
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of the size of MNIST's."""
    folder = tmp_path_factory.mktemp("idx") / "mnist"
    folder.mkdir()
    for split, names in FILES.items():
        first = 0 if split == "train" else 100_000
        for name, array in zip(names, numbered(NUM_EXAMPLES[split], first), strict=True):
            write_idx(folder / name, array)
    return folder


def test_splits_are_those_of_the_files_in_order(folder):
    expected = {"train": (0, 50_000), "validation": (50_000, 60_000), "test": (100_000, 110_000)}
    for split, bounds in expected.items():
        images, labels = datasets.load_arrays("mnist", split, data_dir=folder.parent)
        assert images.dtype == np.uint8 and images.shape[1:] == (28, 28, 1)
        np.testing.assert_array_equal(place(images), np.arange(*bounds))
        np.testing.assert_array_equal(labels, np.arange(*bounds) * 7 % 10)
    # The files may also lie in the folder itself.
    assert find(folder.parent, "mnist") == find(folder, "mnist") == folder


@pytest.mark.slow
def test_the_real_sets_are_told_apart(shared, tmp_path):
    means = {}
    for name in ("mnist", "fashion_mnist"):
        shutil.copytree(shared / "data" / name, tmp_path / "data" / name)
        images, labels = datasets.load_arrays(name, "train", data_dir=tmp_path / "data")
        means[name] = images.mean()
        assert len(images) == len(labels) == 50_000
    assert means["mnist"] == pytest.approx(33.395, abs=1e-3)
    assert means["fashion_mnist"] == pytest.approx(72.802, abs=1e-3)
    with pytest.raises(datasets.DatasetError, match="are those of mnist, and not of fashion_mnist"):
        datasets.load("fashion_mnist", data_dir=tmp_path / "data" / "mnist")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def replace(path):
    path.write_bytes(b"no gzip file")


def relabel(path):
    write_idx(path, np.full(60_000, 77, np.uint8))


def shorten(path):
    write_idx(path, np.zeros(59_999, np.uint8))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut, "train-labels.* is damaged: its compressed data end early"),
        (replace, "train-labels.* is damaged, or is no gzip file"),
        (relabel, r"holds the label 77, where 0\.\.9 were expected"),
        (shorten, "announces 59999 labels, where 60000 were expected"),
        (os.remove, "some of the files of mnist but not train-labels"),
    ],
)
def test_damage_is_told(folder, tmp_path, damage, sentence):
    shutil.copytree(folder, tmp_path / "mnist")
    damage(tmp_path / "mnist" / FILES["train"][1])
    with pytest.raises(datasets.DatasetError, match=sentence):
        datasets.load("mnist", data_dir=tmp_path)


def test_without_network_and_data_the_answer_comes_within_seconds(tmp_path):
    code = (
        "import sys, time, tfp_realnvp.datasets as d\n"
        "import tensorflow_datasets\n"
        "start = time.monotonic()\n"
        "try: d.load('svhn', data_dir=sys.argv[1])\n"
        "except d.DatasetNotFoundError as error: print(error)\n"
        "assert time.monotonic() - start < 15, time.monotonic() - start\n"
    )
    nowhere = {**os.environ, **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")}
    nowhere |= {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        env=nowhere,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "network could not be reached" in run.stdout and "'digits'" in run.stdout
    assert not (tmp_path / "data").exists()
