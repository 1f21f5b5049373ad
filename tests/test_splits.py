"""Which splits a data set has, and that they agree."""

import numpy as np
import pytest
from PIL import Image

from tfp_realnvp import datasets


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def test_named_sets_have_every_split():
    for name in ("digits", "moons", "mnist", "celeba"):
        assert datasets.splits(name) == datasets.SPLITS


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x_train": np.zeros([20, 3])}, ("train", "validation")),
        ({"x_train": np.zeros([1, 3])}, ("train",)),
        ({"x_train": np.zeros([5, 3]), "y_train": np.arange(5)}, ("train",)),
        ({"x_train": np.zeros([20, 3]), "x_test": np.zeros([2, 3])}, datasets.SPLITS),
        ({"x_train": np.zeros([2, 3]), "x_val": np.zeros([2, 3])}, ("train", "validation")),
        ({"x": np.zeros([3, 3])}, datasets.SPLITS),
        ({"x": np.zeros([2, 3])}, ("train",)),
    ],
)
def test_array_files_have_the_splits_that_hold_examples(tmp_path, arrays, expected):
    np.savez(tmp_path / "x.npz", **arrays)
    assert datasets.splits(tmp_path / "x.npz") == expected
    assert datasets.splits("x.npz", data_dir=tmp_path) == expected
    for split in expected:
        assert len(datasets.load_arrays(tmp_path / "x.npz", split)[0])
    for split in set(datasets.SPLITS) - set(expected):
        with pytest.raises(datasets.DatasetError, match=f"{split}"):
            datasets.load_arrays(tmp_path / "x.npz", split)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "val"), ("train", "validation")),
        (("train", "test"), datasets.SPLITS),
        (("train", "valid", "test"), datasets.SPLITS),
        (("cat", "dog"), datasets.SPLITS),
    ],
)
def test_image_folders_have_the_splits_that_hold_images(tmp_path, folders, expected):
    for folder in folders:
        (tmp_path / "x" / folder).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (4, 4), i).save(tmp_path / "x" / folder / f"{i}.png")
    assert datasets.splits(tmp_path / "x") == expected


def test_two_images_are_all_for_training(tmp_path):
    for i in range(2):
        Image.new("L", (4, 4), i).save(tmp_path / f"{i}.png")
    assert datasets.splits(tmp_path) == ("train",)
    assert len(datasets.load_arrays(tmp_path)[0]) == 2
    with pytest.raises(datasets.DatasetError, match="has no examples: 2 images are too few to cut"):
        datasets.load_arrays(tmp_path, "test")


def test_registered_sets_have_the_splits_that_they_say():
    def arrays(split, data_dir):
        return np.zeros([5, 2], np.float32), None

    datasets.register("every", arrays)
    assert datasets.splits("every") == datasets.SPLITS
    datasets.register("two", arrays, splits=["validation", "train"])
    assert datasets.splits("two") == ("train", "validation")
    with pytest.raises(datasets.DatasetError, match="two has no split 'test'; it has train, valid"):
        datasets.load_arrays("two", "test")
    with pytest.raises(datasets.DatasetError, match="needs a split 'train'; got"):
        datasets.register("none", arrays, splits=["test"])
    with pytest.raises(datasets.DatasetError, match="no split 'dev'"):
        datasets.register("other", arrays, splits=["train", "dev"])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_splits_of_a_file_agree_in_shape(tmp_path, split):
    np.savez(tmp_path / "x.npz", x_train=np.zeros([20, 3]), x_test=np.zeros([4, 5]))
    asked = {
        "load": lambda: datasets.load_arrays(tmp_path / "x.npz", split),
        "info": lambda: datasets.info(tmp_path / "x.npz"),
        "splits": lambda: datasets.splits(tmp_path / "x.npz"),
    }
    for ask in asked.values():
        with pytest.raises(
            datasets.DatasetError, match=r"'x_test' in .* \[5\], where the \[3\] of the"
        ):
            ask()
