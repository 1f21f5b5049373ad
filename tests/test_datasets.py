"""Data sets: names, the embedded ones, your own arrays and images, and their errors."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfp_realnvp import datasets

TOYS = ("moons", "circles", "blobs", "spiral", "random")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


def test_digits_are_complete_and_cut_once():
    splits = [datasets.load_arrays("digits", split) for split in datasets.SPLITS]
    assert [len(x) for x, _ in splits] == [1297, 250, 250]
    images = np.concatenate([x for x, _ in splits])
    assert images.dtype == np.uint8 and images.shape[1:] == (8, 8, 1)
    assert (images.min(), images.max()) == (0, 16)
    for _, labels in splits:
        assert labels.dtype == np.int64 and set(labels) == set(range(10))


def test_load_is_an_unbatched_dataset_in_the_order_of_the_arrays():
    images, labels = datasets.load_arrays("digits", "validation")
    dataset = datasets.load("digits", split="validation")
    assert dataset.element_spec == (
        tf.TensorSpec((8, 8, 1), tf.uint8),
        tf.TensorSpec((), tf.int64),
    )
    pairs = list(dataset.as_numpy_iterator())
    np.testing.assert_array_equal([image for image, _ in pairs], images)
    np.testing.assert_array_equal([label for _, label in pairs], labels)
    assert datasets.load("moons").element_spec == tf.TensorSpec((2,), tf.float32)


@pytest.mark.parametrize("name", TOYS)
def test_toys_differ_by_split_and_seed_and_repeat(name):
    draws = [
        datasets.load_arrays(name, "train")[0],
        datasets.load_arrays(name, "train", seed=1)[0],
        datasets.load_arrays(name, "test")[0],
    ]
    assert all(x.dtype == np.float32 and x.shape[1] == 2 for x in draws)
    assert len({x[:5].tobytes() for x in draws}) == 3
    np.testing.assert_array_equal(draws[0], datasets.load_arrays(name, "train")[0])


def test_toys_have_their_shapes():
    circles = datasets.load_arrays("circles")[0]
    radius = np.hypot(*circles.T)
    assert (np.minimum(abs(radius - 1), abs(radius - 0.5)) < 0.25).all()
    assert abs((radius > 0.75).mean() - 0.5) < 0.02
    square = datasets.load_arrays("random")[0]
    assert square.min() >= 0 and square.max() <= 1
    assert abs(square.mean() - 0.5) < 0.01
    blobs = datasets.load_arrays("blobs")[0]
    assert abs((blobs[:, 1] < -5).mean() - 1 / 3) < 0.02
    spiral = datasets.load_arrays("spiral")[0]
    radius = np.hypot(*spiral.T)
    assert 1.95 < np.quantile(radius, 0.99) < 2.1
    # On an arm the angle is 3 pi / 2 times the radius, but for half a circle.
    turned = (np.arctan2(spiral[:, 1], spiral[:, 0]) - 1.5 * np.pi * radius) % np.pi
    far = radius > 0.5
    off = np.minimum(turned, np.pi - turned) / (1.5 * np.pi)
    assert (off[far] < 0.2).mean() > 0.99
    assert abs(spiral.mean()) < 0.05


def test_vectors_and_images_in_array_files(tmp_path):
    x = np.arange(60, dtype=np.float64).reshape(20, 3)
    np.save(tmp_path / "x.npy", x)
    sizes = [len(datasets.load_arrays(tmp_path / "x.npy", s)[0]) for s in datasets.SPLITS]
    assert sizes == [16, 2, 2]
    assert datasets.info(tmp_path / "x.npy").event_shape == (3,)

    images = np.arange(20 * 16, dtype=np.int32).reshape(20, 4, 4) % 6
    labels = np.arange(20) % 2
    path = tmp_path / "images.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4], levels=6)
    info = datasets.info("images.npz", data_dir=tmp_path)
    assert (info.event_shape, info.levels, info.num_classes) == ((4, 4, 1), 6, 2)
    train, train_labels = datasets.load_arrays(path, "train")
    validation, _ = datasets.load_arrays(path, "validation")
    test, test_labels = datasets.load_arrays(path, "test")
    assert (len(train), len(validation), len(test)) == (18, 2, 4)
    assert train.dtype == np.uint8 and train_labels.dtype == np.int64
    np.testing.assert_array_equal(test[..., 0], images[:4])
    np.testing.assert_array_equal(test_labels, labels[:4])


def write_images(folder, rng, *, count=20, side=6, classes=("cat", "dog")):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (side, side + 2, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02}.png")


def test_folders_and_zips_of_images(tmp_path, rng):
    folder = tmp_path / "pets"
    write_images(folder, rng)
    info = datasets.info(folder)
    assert (info.event_shape, info.levels, info.num_classes) == ((6, 8, 3), 256, 2)
    splits = {split: datasets.load_arrays(folder, split) for split in datasets.SPLITS}
    assert [len(x) for x, _ in splits.values()] == [32, 4, 4]
    everything = np.concatenate([x for x, _ in splits.values()])
    assert len({x.tobytes() for x in everything}) == 40
    assert all((np.bincount(labels) == len(x) // 2).all() for x, labels in splits.values())

    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    for split, (x, labels) in splits.items():
        zipped = datasets.load_arrays(tmp_path / "pets.zip", split)
        np.testing.assert_array_equal(zipped[0], x)
        np.testing.assert_array_equal(zipped[1], labels)
    assert datasets.load_arrays(folder, image_size=(4, 4))[0].shape == (32, 4, 4, 3)
    # A new image is seen: the cache knows what it was made of.
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(folder / "cat" / "new.png")
    assert sum(len(datasets.load_arrays(folder, split)[0]) for split in datasets.SPLITS) == 41


def bad_folder(tmp_path, rng):
    write_images(tmp_path / "bad", rng, count=4)
    (tmp_path / "bad" / "cat" / "00.png").write_bytes(b"no image")
    return tmp_path / "bad"


def two_sizes(tmp_path, rng):
    write_images(tmp_path / "two", rng, count=4, classes=("cat",))
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "two" / "cat" / "9.png")
    return tmp_path / "two"


def saved(array):
    def make(tmp_path, rng):
        np.save(tmp_path / "x.npy", array)
        return tmp_path / "x.npy"

    return make


def cut_short(tmp_path, rng):
    np.savez(tmp_path / "x.npz", x=np.zeros((50, 4)))
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "x.npz"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda *_: "mnits", r"no data set 'mnits' \(did you mean 'mnist'\?\)"),
        (lambda *_: "nowhere/images.npy", "There is no file or folder nowhere/images.npy"),
        (bad_folder, "00.png cannot be decoded"),
        (two_sizes, "9x9 pixels, where all must have the 6x8|6x8 pixels, where all must"),
        (cut_short, "x.npz"),
        (saved(np.full((20, 4, 4), 0.5)), "images with fractions such as 0.5"),
        (saved(np.full((20, 4, 4), 300)), r"pixels in 300..300, where 0..255 were expected"),
        (saved(np.full((20, 4), np.nan)), "NaN or infinite"),
        (saved(np.zeros((20, 4, 4, 7))), r"shape \[20, 4, 4, 7\], where images .* at most 4"),
        (saved(np.zeros((20,))), r"shape \[20\]"),
        (saved(np.array(["a"] * 20)), "where numbers were expected"),
    ],
)
def test_bad_data_is_told_in_one_sentence(tmp_path, rng, make, sentence):
    with pytest.raises(datasets.DatasetError, match=sentence) as caught:
        datasets.load_arrays(make(tmp_path, rng))
    assert "\n" not in str(caught.value)


def test_unknown_split_and_option():
    with pytest.raises(datasets.DatasetError, match="no split 'dev'; the splits are train, val"):
        datasets.load("digits", split="dev")
    with pytest.raises(
        datasets.DatasetError, match="has no option 'size'; it takes classes, image_size"
    ):
        datasets.load("digits", size=3)
    for ask in (datasets.info, datasets.load_arrays):
        with pytest.raises(datasets.DatasetError, match=r"seed must be an integer; got 0\.5"):
            ask("moons", seed=0.5)


def test_register_adds_a_set():
    x = np.zeros([5, 4, 4, 1], np.uint8)
    datasets.register("black", lambda split, data_dir: (x, None))
    assert "black" in datasets.names()
    assert datasets.info("black").event_shape == (4, 4, 1)
    np.testing.assert_array_equal(datasets.load_arrays("black", "test")[0], x)
