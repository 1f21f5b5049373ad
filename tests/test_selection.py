"""Some classes of a data set, in another size."""

import json

import numpy as np
import pytest

from tfp_realnvp import datasets
from tfp_realnvp.cli.main import main


def test_classes_are_numbered_anew_in_their_order():
    x, labels = datasets.load_arrays("digits")
    chosen, numbers = datasets.load_arrays("digits", classes=[7, 2])
    np.testing.assert_array_equal(chosen, x[np.isin(labels, [2, 7])])
    np.testing.assert_array_equal(numbers, (labels[np.isin(labels, [2, 7])] == 2).astype(int))
    info = datasets.info("digits", classes=[7, 2])
    assert info.num_classes == 2 and info.event_shape == (8, 8, 1) and info.levels == 17


@pytest.mark.parametrize(("name", "size"), [("digits", (4, 6)), ("folder", (5, 5))])
def test_images_take_a_size(name, size, tmp_path):
    if name == "folder":
        from PIL import Image

        for i in range(6):
            picture = np.random.default_rng(i).integers(0, 256, [8, 10, 3]).astype("uint8")
            Image.fromarray(picture).save(tmp_path / f"{i}.png")
        name = str(tmp_path)
    x, _ = datasets.load_arrays(name, image_size=size)
    assert x.shape[1:] == datasets.info(name, image_size=size).event_shape
    assert x.shape[1:3] == size and x.dtype == np.uint8


def test_the_means_of_halves_are_those_of_the_images():
    x, _ = datasets.load_arrays("digits", "test")
    small, _ = datasets.load_arrays("digits", "test", image_size=(4, 4))
    assert small.max() <= 16
    np.testing.assert_allclose(small.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=0.5)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("digits", {"classes": [10]}, r"labels of digits, some of 0\.\.9; got \[10\]"),
        ("digits", {"classes": []}, r"labels of digits, some of 0\.\.9; got \[\]"),
        ("digits", {"classes": 3}, r"labels of digits, some of 0\.\.9; got 3"),
        ("digits", {"classes": [1, 1]}, r"classes must be different labels; got \[1, 1\]"),
        ("moons", {"classes": [0]}, "moons has no labels to choose classes by"),
        ("moons", {"image_size": (4, 4)}, "image_size is for images; moons has vectors"),
        ("digits", {"image_size": 4}, r"image_size must be \(height, width\) in pixels"),
    ],
)
def test_what_cannot_be_chosen_is_told(name, options, sentence):
    with pytest.raises(datasets.DatasetError, match=sentence):
        datasets.load_arrays(name, **options)


def test_a_run_and_its_evaluation_have_the_same_choice(tmp_path, capsys):
    out = str(tmp_path / "run")
    choice = ["--data_option", "classes=[0,2]", "--data_option", "image_size=[4,4]"]
    line = ["--flow", "realnvp", "--option", "width=4", "--option", "blocks=1", "--option"]
    line += ["scales=1", "--epochs", "1", "--batch_size", "64", "--shards", "1", "--out", out]
    assert main([*line, *choice, "--conditional"], command="train") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    _, labels = datasets.load_arrays("digits", "test")
    assert results["examples"] == np.isin(labels, [0, 2]).sum()
    capsys.readouterr()
    assert main([out, "--num_importance_samples", "1"], command="evaluate") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["bits_per_dim_1"] == pytest.approx(results["bits_per_dim_1"], rel=1e-5)
    assert main([out, "--dataset", "digits", "--data_option", "classes=[1]"], command="evaluate")
