"""Flows that come with the package: their likelihood, their samples, and what is refused."""

import shutil

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp.zoo import files as module


@pytest.fixture(scope="module")
def digits():
    return nvp.pretrained("mnist")


def test_names():
    assert {"mnist", "moons"} <= set(nvp.pretrained_names())
    match = r"no pretrained flow 'mnits'; there are mnist, .*\. Did you mean 'mnist'"
    with pytest.raises(ValueError, match=match):
        nvp.pretrained("mnits")


@pytest.mark.parametrize("name", nvp.pretrained_names())
def test_each_has_a_card_and_samples(name):
    folder = module._FOLDER / name
    _, front, card = (folder / "README.md").read_text().split("---\n", 2)
    assert {"library_name: keras", "tags:", "datasets:"} <= {
        line if line.startswith("library") else line.split()[0] for line in front.splitlines()
    }
    assert all(value in card for value in module.sums()[name].values())
    dist = nvp.pretrained(name)
    labels = None if dist.num_classes is None else [0, 1]
    samples = nvp.sample(dist, 2, seed=0, labels=labels)
    assert samples.shape == (2, *dist.event_shape)
    assert np.isfinite(dist.log_prob(samples, bijector_kwargs={"labels": labels})).all()


def test_all_are_small_enough_for_the_wheel():
    files = [path for path in module._FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40e6


def test_samples_are_likely(digits):
    samples = nvp.sample(digits, 8, seed=0)
    assert samples.shape == (8, 28, 28, 1) and samples.dtype == np.uint8
    assert (samples == 0).mean() > 0.5 and samples.max() > 200
    # Its own digits are as likely as real ones, noise is not.
    bits = nvp.bits_per_dim(digits, samples, num_importance_samples=1)
    assert 0.5 < bits.mean() < 1.4
    noise = np.random.default_rng(0).integers(0, 256, samples.shape).astype("uint8")
    assert nvp.bits_per_dim(digits, noise[:2], num_importance_samples=1).min() > 8


def test_every_pixel_comes_back(digits):
    samples = nvp.sample(digits, 4, seed=1)
    np.testing.assert_array_equal(nvp.decode(digits, nvp.encode(digits, samples)), samples)


def test_test_images_of_mnist(digits, shared):
    images, _ = nvp.datasets.load_arrays("mnist", "test", shared / "data" / "mnist")
    bits = nvp.bits_per_dim(digits, images[:100], num_importance_samples=1)
    # 0.953 over all 10,000, and less over the first; a standard error of 0.025 over 100.
    assert bits.mean() == pytest.approx(0.947, abs=0.08)


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    shutil.copytree(module._FOLDER / "mnist", folder)
    with open(folder / "model.weights.h5", "r+b") as file:
        file.seek(5_000_000)
        file.write(b"damage")
    monkeypatch.setattr(module, "_FOLDER", tmp_path)
    with pytest.raises(ValueError, match="is damaged: install the package again"):
        nvp.pretrained("mnist")
