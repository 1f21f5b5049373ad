"""CIFAR-10, SVHN and CelebA, from small sets in TFDS' own layout."""

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp import datasets
from tfp_realnvp.datasets.tfds_build import quiet
from tfp_realnvp.datasets.tfds_source import RECIPES

COUNT = 20
ATTRIBUTES = RECIPES["celeba"].attributes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Each set's own builder, features and version, given examples in the place of downloads."""
    folder = tmp_path_factory.mktemp("tfds")
    for name, splits, make in (
        ("cifar10", ("train", "test"), numbered),
        ("svhn", ("train", "test"), numbered),
        ("celeba", ("train", "validation", "test"), face),
    ):
        with quiet():
            import tensorflow_datasets as tfds

            builder = tfds.builder(RECIPES[name].builder, data_dir=folder)
            examples = {split: [make(split, i) for i in range(COUNT)] for split in splits}
            builder._split_generators = lambda _, examples=examples: {
                split: iter(rows) for split, rows in examples.items()
            }
            builder.download_and_prepare()
    return folder


def numbered(split, place):
    image = np.full([32, 32, 3], place, np.uint8)
    return place, {"id": f"{split}_{place:06d}", "image": image, "label": place % 10}


def face(split, place):
    """An image that is brighter where its person smiles; what is cut off is black."""
    image = np.zeros([218, 178, 3], np.uint8)
    image[35:183, 15:163] = (100, 150, 200) if place % 2 else (50, 100, 150)
    has = {name: bool((place >> (i % 4)) % 2) for i, name in enumerate(ATTRIBUTES)}
    landmarks = ["lefteye", "righteye", "nose", "leftmouth", "rightmouth"]
    return f"{place:06d}.jpg", {
        "image": image,
        "landmarks": {f"{part}_{axis}": place for part in landmarks for axis in "xy"},
        "attributes": has | {"Smiling": bool(place % 2), "Male": place >= COUNT // 2},
        "identity": {"Identity_No": place},
    }


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


@pytest.mark.parametrize("name", ["cifar10", "svhn"])
def test_splits_are_those_of_the_original_files_in_order(folder, name):
    expected = {"train": (0, 18), "validation": (18, 20), "test": (0, 20)}
    for split, bounds in expected.items():
        images, labels = datasets.load_arrays(name, split, folder)
        assert images.dtype == np.uint8 and images.shape[1:] == datasets.info(name).event_shape
        np.testing.assert_array_equal(images[:, 5, 7, 2], np.arange(*bounds))
        np.testing.assert_array_equal(labels, np.arange(*bounds) % 10)
    image, label = next(iter(datasets.load(name, "validation", folder)))
    assert int(image[0, 0, 0]) == 18 and int(label) == 8


def test_faces_are_cropped_and_have_no_labels_unless_asked_for(folder):
    images, labels = datasets.load_arrays("celeba", "validation", folder)
    assert images.shape == (COUNT, 64, 64, 3) and labels is None
    assert datasets.load_condition("celeba", "validation", folder) is None
    # Nothing of the black border is left, but for what JPEG makes of its edge.
    assert images.min() > 25
    colours = np.sort(np.median(images, (1, 2)), 0)
    np.testing.assert_allclose(colours[[0, -1]], [[50, 100, 150], [100, 150, 200]], atol=4)


def test_attributes_are_labels_or_a_condition(folder):
    images, smiles = datasets.load_arrays("celeba", "train", folder, label="Smiling")
    assert datasets.info("celeba", label="Smiling").num_classes == 2
    np.testing.assert_array_equal(smiles, images.mean((1, 2, 3)) > 125)
    options = {"attributes": ["Male", "Smiling"], "image_size": (8, 8)}
    given = datasets.load_condition("celeba", "train", folder, **options)
    assert given.dtype == np.float32 and datasets.info("celeba", **options).condition_shape == (2,)
    np.testing.assert_array_equal(given[:, 1], smiles)
    assert given[:, 0].sum() == COUNT // 2
    every = datasets.load_condition("celeba", "train", folder, attributes="all")
    np.testing.assert_array_equal(
        every[:, [ATTRIBUTES.index(n) for n in options["attributes"]]], given
    )
    image, beside = next(iter(datasets.load("celeba", "test", folder, label="Male", **options)))
    assert image.shape == (8, 8, 3) and beside["condition"].shape == (2,)
    assert int(beside["labels"]) == int(beside["condition"][0])


def test_a_direction_of_an_attribute_makes_a_face_smile(folder):
    options = {"label": "Smiling", "image_size": (8, 8)}
    images, smiles = datasets.load_arrays("celeba", "train", folder, **options)
    members = [nvp.bijectors.Dequantization(), nvp.bijectors.Logit(high=256, alpha=0.05)]
    dist = nvp.Flow(members, (8, 8, 3))
    direction = nvp.attribute_direction(dist, images[smiles == 1], images[smiles == 0])
    moved = nvp.move(dist, images[smiles == 0], direction, strengths=[0.0, 1.0])
    np.testing.assert_array_equal(moved[:, 0], images[smiles == 0])
    np.testing.assert_allclose(moved[:, 1].mean((0, 1, 2)), [100, 150, 200], atol=12)


def test_a_run_on_attributes_is_conditional_on_them(folder, tmp_path):
    settings = nvp.runs.RunConfig(
        flow="uva_simple",
        dataset="celeba",
        data_dir=folder,
        data_options={"attributes": ["Smiling", "Male"], "image_size": [4, 4]},
        options={"width": 2, "couplings": 1, "blocks": 1},
        epochs=1,
        batch_size=10,
    )
    nvp.runs.train(settings, tmp_path, verbose=False, tensorboard=False, result_examples=4)
    assert nvp.load(tmp_path).condition_shape == (2,)


def test_any_prepared_folder_is_a_data_set(folder):
    (cifar,) = folder.glob("cifar10/*")
    known = datasets.info(cifar)
    assert known.event_shape == (32, 32, 3) and known.num_classes == 10
    assert datasets.splits(cifar) == ("train", "validation", "test")
    parts = [
        datasets.load_rows(cifar, split, folder, memory=0) for split in ("train", "validation")
    ]
    assert [len(x) for x, _ in parts] == [10, 10]  # one of the two of each class
    places = np.concatenate([x[:][:, 0, 0, 0] for x, _ in parts])
    np.testing.assert_array_equal(np.sort(places), np.arange(COUNT))
    np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), places % 10)
    (faces,) = folder.glob("celeb_a/*")
    images, labels = datasets.load_arrays(faces, "test", folder, image_size=(8, 6))
    assert images.shape == (COUNT, 8, 6, 3) and labels is None
    with pytest.raises(datasets.DatasetError, match="There is no split"):
        datasets.load_arrays(cifar, "all", folder)


@pytest.mark.parametrize("options", [{"label": "Bored"}, {"attributes": []}, {"attributes": "Sad"}])
def test_an_attribute_that_there_is_not_is_told(options):
    with pytest.raises(datasets.DatasetError, match="The attributes of CelebA are 5_o_Clock"):
        datasets.info("celeba", **options)
